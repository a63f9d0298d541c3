"""A server behind NAT, a client and a relay outside it: network namespaces that a test makes, and removes when it ends.

    lan 10.77.0.2 ── router: 198.18.0.5 to the world, forwards some ports ── client 198.18.1.2
                                                                          └─ relay  198.18.2.2

The router does what Docker and the boxes at home do: it rewrites what comes for the ports that it forwards and drops the rest.
What the client may send is a test's to say. Nothing here touches the machine's own network. It takes root.
"""

import ctypes
import os
import subprocess
from contextlib import contextmanager
from itertools import count

PUBLIC = "198.18.0.5"
SERVER = "10.77.0.2"
RELAY = "198.18.2.2"
RELAY_PORT = 3478
# Who is where: its address, and the router's at the other end of the cable.
ENDS = {"lan": (SERVER, "10.77.0.1"), "client": ("198.18.1.2", "198.18.1.1"), "relay": (RELAY, "198.18.2.1")}

# What the client's own firewall lets through, beside what it has begun; the server's addresses are those behind the router by then.
FIREWALLS = {
    "everything": f"ip daddr {{ {SERVER}, {RELAY} }} accept",
    "no UDP": f"ip daddr {{ {SERVER}, {RELAY} }} meta l4proto tcp accept",
    "pages and the relay": f"ip daddr {SERVER} tcp dport PAGES accept\n    ip daddr {RELAY} udp dport {RELAY_PORT} accept",
    "pages and the relay by TCP": f"ip daddr {SERVER} tcp dport PAGES accept\n    ip daddr {RELAY} tcp dport {RELAY_PORT} accept",
    "pages": f"ip daddr {SERVER} tcp dport PAGES accept",
}

RULES = """
table ip nat {
  chain in {
    type nat hook prerouting priority dstnat
    ip daddr PUBLIC tcp dport { PAGES, MEDIA } dnat to SERVER
    ip daddr PUBLIC udp dport MEDIA dnat to SERVER
  }
  chain out {
    type nat hook postrouting priority srcnat
    iifname "lan" masquerade
  }
}
table ip filter {
  chain firewall {
    ALLOWED
    drop
  }
  chain forward {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    ct original ip daddr SERVER drop
    iifname "client" jump firewall
    iifname { "lan", "relay" } accept
  }
}
"""

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
NUMBERS = count()


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


class Networks:
    """`with Networks() as networks: with networks.inside("lan"): …`"""

    def __init__(self):
        assert os.geteuid() == 0, "network namespaces take root: run this suite as root, or its cells of NAT fail"
        self.prefix = f"cruvz-{os.getpid()}-{next(NUMBERS)}-"

    def __enter__(self):
        try:
            for name in ("router", *ENDS):
                run("ip", "netns", "add", self.prefix + name)
                run("ip", "-n", self.prefix + name, "link", "set", "lo", "up")
            for name, (address, gateway) in ENDS.items():
                self.connect(name, address, gateway)
            run("ip", "-n", self.prefix + "router", "address", "add", f"{PUBLIC}/32", "dev", "lo")
            run("ip", "netns", "exec", self.prefix + "router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect(self, name, address, gateway):
        """A cable between the router and somebody, who sends everything over it."""
        end, router = self.prefix + name, self.prefix + "router"
        run("ip", "-n", router, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", end)
        for namespace, device, ip in ((router, name, gateway), (end, "eth0", address)):
            run("ip", "-n", namespace, "address", "add", f"{ip}/24", "dev", device)
            run("ip", "-n", namespace, "link", "set", device, "up")
        run("ip", "-n", end, "route", "add", "default", "via", gateway)

    def __exit__(self, *_):
        for name in ("router", *ENDS):
            subprocess.run(["ip", "netns", "del", self.prefix + name], capture_output=True)

    def route(self, pages, media, firewall):
        """Has the router forward the ports of `pages` (TCP) and `media` (TCP and UDP), and the client keep to `firewall`."""
        rules = RULES.replace("ALLOWED", FIREWALLS[firewall]).replace("PUBLIC", PUBLIC).replace("SERVER", SERVER)
        rules = rules.replace("PAGES", str(pages)).replace("MEDIA", str(media))
        run("ip", "netns", "exec", self.prefix + "router", "nft", "-f", "-", text=rules)

    @contextmanager
    def inside(self, name):
        """This thread, and what it starts, is there as long as the block."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.prefix}{name}") as there:
            enter(there)
            try:
                yield
            finally:
                enter(home)


def enter(namespace):
    assert LIBC.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
