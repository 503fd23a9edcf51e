"""The kubelet's device plugin API, v1beta1: its messages, made here from their field numbers (no generated code has to fit the
installed protobuf), and the plugin that offers FreeFlow's device to pods.

A pod that asks for `freeflow.dev/rdma: 1` gets a CDI device's name; what that means the spec on the node says (freeflow.cdi).
Kubelets know CDI devices of plugins from 1.29 on.
"""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from freeflow.launch import is_alive

log = logging.getLogger(__name__)

VERSION = "v1beta1"
KUBELET_SOCKET = "kubelet.sock"
HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"
AUTHORITY = [("grpc.default_authority", "localhost")]  # a socket's path is none that strict servers take
LOOK_S = 0.5  # for a kubelet that came back, and for the router
CALL_S = 5
STREAMS_MAX = 8  # kubelets that listen: one, and those that have not noticed that they are gone
SHARES_MAX = 10_000  # a list of them is 200 KB, and gRPC's messages 4 MB

# message -> {field: (number, type, repeated)}; a type that is no word of protobuf's is another message.
MESSAGES = {
    "Empty": {},
    "DevicePluginOptions": {"pre_start_required": (1, "bool", False), "get_preferred_allocation_available": (2, "bool", False)},
    "RegisterRequest": {"version": (1, "string", False), "endpoint": (2, "string", False), "resource_name": (3, "string", False),
                        "options": (4, "DevicePluginOptions", False)},
    "Device": {"ID": (1, "string", False), "health": (2, "string", False)},
    "ListAndWatchResponse": {"devices": (1, "Device", True)},
    "ContainerAllocateRequest": {"devicesIDs": (1, "string", True)},
    "AllocateRequest": {"container_requests": (1, "ContainerAllocateRequest", True)},
    "CDIDevice": {"name": (1, "string", False)},
    "ContainerAllocateResponse": {"cdi_devices": (5, "CDIDevice", True)},
    "AllocateResponse": {"container_responses": (1, "ContainerAllocateResponse", True)},
}


def _messages():
    field = descriptor_pb2.FieldDescriptorProto
    types = {"string": field.TYPE_STRING, "bool": field.TYPE_BOOL}
    file = descriptor_pb2.FileDescriptorProto(name="freeflow/kubelet.proto", package=VERSION, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for word, (number, kind, repeated) in fields.items():
            made = message.field.add(name=word, number=number, type=types.get(kind, field.TYPE_MESSAGE),
                                     label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL)
            if kind not in types:
                made.type_name = f".{VERSION}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{VERSION}.{name}")) for name in MESSAGES}


API = _messages()


class Plugin:
    """Serves until stop(). A kubelet that restarts deletes all sockets in its directory: then this one serves and registers
    anew. Devices are healthy while the router takes connections; pods that run are not touched either way."""

    def __init__(self, directory, resource, cdi_device, shares, router):
        """directory: the kubelet's, for plugins. resource: `freeflow.dev/rdma`. cdi_device: `freeflow.dev/rdma=ff0`. router:
        RouterPaths."""
        self.directory, self.resource, self.cdi_device, self.shares = Path(directory), resource, cdi_device, shares
        self.socket = self.directory / f"{resource.replace('/', '_')}.sock"
        self.registered = False
        self._router = router
        self._stopped, self._changed = threading.Event(), threading.Condition()
        self._healthy, self._server, self._own, self._kubelet = False, None, None, None

    def run(self):
        """Until stop(). Errors are waited out: the kubelet may not be there yet, or any more."""
        while not self._stopped.is_set():
            self._look_at_router()
            try:
                self._look_at_kubelet()
            except (OSError, grpc.RpcError, RuntimeError) as error:
                self.registered = False
                log.info("no kubelet at %s yet: %s", self.directory, getattr(error, "details", lambda: error)())
            self._stopped.wait(LOOK_S)
        self._end_server()

    def stop(self):
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def _look_at_router(self):
        healthy = is_alive(self._router.session_socket)
        if healthy != self._healthy:
            with self._changed:
                self._healthy = healthy
                self._changed.notify_all()

    def _look_at_kubelet(self):
        if self._own is None or _inode(self.socket) != self._own:
            self._serve()
        kubelet = _inode(self.directory / KUBELET_SOCKET)
        if kubelet is None:
            self.registered = False
        elif not self.registered or kubelet != self._kubelet:
            self._register()
            self._kubelet, self.registered = kubelet, True

    def _serve(self):
        """Before it registers: the kubelet calls at once."""
        self._end_server()
        self.registered = False
        self.socket.unlink(missing_ok=True)
        self._server = grpc.server(ThreadPoolExecutor(STREAMS_MAX + 4), handlers=[self._handlers()])
        if not self._server.add_insecure_port(f"unix:{self.socket}"):
            raise OSError(f"{self.socket} cannot be made")
        self._server.start()
        self._own = _inode(self.socket)

    def _end_server(self):
        if self._server:
            self._server.stop(0).wait()
            if _inode(self.socket) == self._own:
                self.socket.unlink(missing_ok=True)
        self._server = self._own = None

    def _register(self):
        with grpc.insecure_channel(f"unix:{self.directory / KUBELET_SOCKET}", AUTHORITY) as channel:
            call = channel.unary_unary(f"/{VERSION}.Registration/Register", API["RegisterRequest"].SerializeToString,
                                       API["Empty"].FromString)
            call(API["RegisterRequest"](version=VERSION, endpoint=self.socket.name, resource_name=self.resource), timeout=CALL_S)
        log.info("registered %s", self.resource)

    def _handlers(self):
        def unary(function, request):
            return grpc.unary_unary_rpc_method_handler(function, API[request].FromString, lambda m: m.SerializeToString())

        return grpc.method_handlers_generic_handler(f"{VERSION}.DevicePlugin", {
            "GetDevicePluginOptions": unary(lambda request, context: API["DevicePluginOptions"](), "Empty"),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(self._watch, API["Empty"].FromString,
                                                                 lambda m: m.SerializeToString()),
            "Allocate": unary(self._allocate, "AllocateRequest"),
        })

    def _watch(self, request, context):
        """All devices, at once and whenever their health changes."""
        said = None
        while not self._stopped.is_set() and context.is_active():
            if said != self._healthy:
                said = self._healthy
                health = HEALTHY if said else UNHEALTHY
                yield API["ListAndWatchResponse"](devices=[API["Device"](ID=str(number), health=health)
                                                           for number in range(self.shares)])
            with self._changed:
                if said == self._healthy:
                    self._changed.wait(LOOK_S)

    def _allocate(self, request, context):
        """Every share is the same device."""
        given = API["ContainerAllocateResponse"](cdi_devices=[API["CDIDevice"](name=self.cdi_device)])
        return API["AllocateResponse"](container_responses=[given for _ in request.container_requests])


def _inode(path):
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
