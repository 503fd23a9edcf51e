"""Data-parallel training of a small convolutional and a small recurrent network in NumPy: every worker has its part of the data, and
after each step their gradients are summed by a ring all-reduce over RDMA.

    python examples/all_reduce.py 0 2 10.32.1.1 10.32.1.2     # worker 0 of 2, on the first address
    python examples/all_reduce.py 1 2 10.32.1.1 10.32.1.2     # worker 1, on the second
    … --tcp: the same ring over TCP sockets, for comparison; --net rnn: the recurrent network; --steps N

The ring: each worker exposes a buffer to the one before it. A sum of N parts goes round in N - 1 steps, each of which writes one
part into the next worker's buffer and notifies it; N - 1 more steps hand the finished parts on.
"""

import argparse
import socket
import threading
import time

import numpy as np

from freeflow import rdma

PORT = 7473


class RdmaRing:
    """Worker `rank` of `hosts`: connected to the next one, and by the one before."""

    def __init__(self, rank, hosts, length):
        self.rank, self.count = rank, len(hosts)
        self.part = -(-length // self.count)
        # A worker can be so many steps ahead of the next one: its step needs the last step of the worker before, and so on round.
        self.inbox = rdma.allocate((self.count, self.part), np.float32)
        with rdma.listen(hosts[rank], PORT) as listener:
            accepted = []
            thread = threading.Thread(target=lambda: accepted.append(listener.accept(timeout=30)))
            thread.start()
            self.next = connect_patiently(lambda: rdma.connect(hosts[(rank + 1) % self.count], PORT))
            thread.join()
        self.before = accepted[0]
        self.before.send_remote(self.before.expose(self.inbox))
        self.outbox = self.next.recv_remote(timeout=30)
        self.sent = self.received = 0

    def exchange(self, part):
        """Writes this part to the next worker, and returns the one that came from the worker before."""
        self.next.write(self.outbox[self.sent % self.count], part, notify=self.sent)
        self.sent += 1
        self.before.wait_notify(timeout=60)
        self.received += 1
        return self.inbox[(self.received - 1) % self.count]

    def close(self):
        self.next.close()
        self.before.close()


class TcpRing:
    """The same over sockets."""

    def __init__(self, rank, hosts, length):
        self.rank, self.count = rank, len(hosts)
        self.part = -(-length // self.count)
        self.inbox = np.empty(self.part, np.float32)
        with socket.create_server((hosts[rank], PORT)) as listener:
            accepted = []
            thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
            thread.start()
            self.next = connect_patiently(lambda: socket.create_connection((hosts[(rank + 1) % self.count], PORT)))
            thread.join()
        self.before = accepted[0]
        for one in (self.next, self.before):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, part):
        sender = threading.Thread(target=self.next.sendall, args=(memoryview(part).cast("B"),))
        sender.start()
        view = memoryview(self.inbox).cast("B")
        while view:
            got = self.before.recv_into(view)
            if not got:
                raise ConnectionResetError("the worker before is gone")
            view = view[got:]
        sender.join()
        return self.inbox

    def close(self):
        self.next.close()
        self.before.close()


def connect_patiently(connect, seconds=30):
    end = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def all_reduce(ring, values):
    """The sum of all workers' arrays of float32, in place."""
    parts = np.zeros((ring.count, ring.part), np.float32)
    parts.reshape(-1)[:values.size] = values
    for step in range(ring.count - 1):
        came = ring.exchange(parts[(ring.rank - step) % ring.count])
        parts[(ring.rank - step - 1) % ring.count] += came
    for step in range(ring.count - 1):
        came = ring.exchange(parts[(ring.rank + 1 - step) % ring.count])
        parts[(ring.rank - step) % ring.count] = came
    values[:] = parts.reshape(-1)[:values.size]


# ---- two networks: parameters in one vector, gradients by hand ----

class Cnn:
    """8 filters of 5 x 5 over 16 x 16 pictures, their rectified mean over each quarter, and a linear layer to 4 classes."""

    SHAPES = [(8, 25), (32, 4)]

    @staticmethod
    def data(rng, count):
        """Pictures with a bright bar in one of four places."""
        labels = rng.integers(0, 4, count)
        pictures = rng.normal(0, 0.3, (count, 16, 16)).astype(np.float32)
        for picture, label in zip(pictures, labels):
            row, column = divmod(int(label), 2)
            picture[row * 8 + 3:row * 8 + 5, column * 8:column * 8 + 8] += 1
        return pictures, labels

    @staticmethod
    def step(parameters, pictures, labels):
        """(loss, gradients of all parameters)."""
        filters, weights = parameters
        n = len(pictures)
        patches = np.lib.stride_tricks.sliding_window_view(pictures, (5, 5), (1, 2)).reshape(n, 12, 12, 25)
        seen = patches @ filters.T
        active = np.maximum(seen, 0)
        pooled = active.reshape(n, 2, 6, 2, 6, 8).mean((2, 4)).reshape(n, 32)
        loss, slope = softmax_loss(pooled @ weights, labels)
        back = (slope @ weights.T).reshape(n, 2, 1, 2, 1, 8) / 36 * np.ones((1, 1, 6, 1, 6, 1), np.float32)
        back = back.reshape(n, 12, 12, 8) * (seen > 0)
        return loss, [np.einsum("nxyf,nxyp->fp", back, patches), pooled.T @ slope]


class Rnn:
    """32 recurrent units that read 12 numbers and tell whether their sum is positive."""

    SHAPES = [(32, 32), (1, 32), (32, 2)]

    @staticmethod
    def data(rng, count):
        numbers = rng.normal(0, 1, (count, 12)).astype(np.float32)
        return numbers, (numbers.sum(1) > 0).astype(int)

    @staticmethod
    def step(parameters, numbers, labels):
        inner, outer, weights = parameters
        states = [np.zeros((len(numbers), 32), np.float32)]
        for t in range(numbers.shape[1]):
            states.append(np.tanh(states[-1] @ inner + numbers[:, t:t + 1] @ outer))
        loss, slope = softmax_loss(states[-1] @ weights, labels)
        gradients = [np.zeros_like(inner), np.zeros_like(outer), states[-1].T @ slope]
        back = slope @ weights.T
        for t in reversed(range(numbers.shape[1])):
            back = back * (1 - states[t + 1] ** 2)
            gradients[0] += states[t].T @ back
            gradients[1] += numbers[:, t:t + 1].T @ back
            back = back @ inner.T
        return loss, gradients


def softmax_loss(scores, labels):
    odds = np.exp(scores - scores.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    loss = -np.log(odds[np.arange(len(labels)), labels] + 1e-9).mean()
    odds[np.arange(len(labels)), labels] -= 1
    return loss, (odds / len(labels)).astype(np.float32)


def train(net, ring, steps, rate=0.5, batch=64):
    """(first and last loss, seconds of communication, of all)."""
    rng = np.random.default_rng(1)
    vector = np.concatenate([rng.normal(0, 0.3, shape).astype(np.float32).ravel() for shape in net.SHAPES])
    cuts = np.cumsum([0] + [int(np.prod(shape)) for shape in net.SHAPES])
    mine = np.random.default_rng(100 + ring.rank)         # each worker has its own data
    losses, talking, began = [], 0.0, time.perf_counter()
    for _ in range(steps):
        parameters = [vector[a:b].reshape(shape) for a, b, shape in zip(cuts, cuts[1:], net.SHAPES)]
        loss, gradients = net.step(parameters, *net.data(mine, batch))
        summed = np.concatenate([gradient.ravel() for gradient in gradients])
        start = time.perf_counter()
        all_reduce(ring, summed)
        talking += time.perf_counter() - start
        vector -= rate * summed / ring.count
        losses.append(float(loss))
    return losses, talking, time.perf_counter() - began, vector


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rank", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("hosts", nargs="+")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--net", choices=("cnn", "rnn"), default="cnn")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    net = Cnn if options.net == "cnn" else Rnn
    length = sum(int(np.prod(shape)) for shape in net.SHAPES)
    ring = (TcpRing if options.tcp else RdmaRing)(options.rank, options.hosts[:options.count], length)
    losses, talking, all_of_it, vector = train(net, ring, options.steps)
    ring.close()
    print(f"worker {options.rank}: loss {np.mean(losses[:5]):.3f} -> {np.mean(losses[-5:]):.3f}, {options.steps} steps, "
          f"{talking / options.steps * 1e6:.0f} us of communication a step, {all_of_it / options.steps * 1e6:.0f} us in all, "
          f"parameters {vector.sum():.6f}")


if __name__ == "__main__":
    main()
