"""The machine that the figures are of. A figure without it means little."""

import os
import platform
from pathlib import Path


def text(path, otherwise="unknown"):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return otherwise


def cpu_model():
    for line in text("/proc/cpuinfo", "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def describe():
    """CPU, cores, kernel, governor, memory, and how busy it was when asked."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "governor": text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none visible"),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "hypervisor": "hypervisor" in text("/proc/cpuinfo", "").partition("flags")[2].partition("\n")[0].split(),
        "load_before": os.getloadavg()[0],
    }


def one_line(machine):
    return (f"{machine['cores']} cores of {machine['cpu']}{' (virtual)' if machine['hypervisor'] else ''}, "
            f"Linux {machine['kernel']}, governor {machine['governor']}, load {machine['load_before']:.2f} before")
