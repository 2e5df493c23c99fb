"""What a guest of tools/test-topology.d/init printed, taken apart."""
import base64
import gzip
import re
import xml.etree.ElementTree


class Seen:
    """parts: name -> lines; path: sysfs file below /sys/devices/system -> its lines, joined."""

    def __init__(self, console):
        with open(console, "rb") as file:
            text = file.read().replace(b"\r", b"")
        found = re.search(rb"test: begin\n(.*)test: end", text, re.S)
        if not found:
            raise ValueError("the guest did not come to its end")
        packed = b"".join(x for x in found[1].split(b"\n") if re.fullmatch(rb"[A-Za-z0-9+/]+=*", x))
        self.parts, lines = {}, []
        for line in gzip.decompress(base64.b64decode(packed)).decode(errors="replace").splitlines():
            if line.startswith("@@ "):
                lines = self.parts.setdefault(line[3:], [])
            else:
                lines.append(line)
        if "end" not in self.parts:
            raise ValueError("the guest's report is cut short")
        self.path = {}
        for line in self.parts["sysfs"]:
            path, _, value = line.partition(":")
            self.path[path] = f"{self.path[path]}\n{value}" if path in self.path else value

    def text(self, part):
        return "\n".join(self.parts.get(part, []))

    def cpus(self):
        return sorted(int(x[1]) for x in (re.fullmatch(r"cpu/cpu(\d+)/topology/core_id", p) for p in self.path) if x)

    def caches(self, cpu):
        """(level, type) -> the directory of that cache of this CPU; a list, should there be several."""
        found = {}
        for path, value in self.path.items():
            match = re.fullmatch(rf"(cpu/cpu{cpu}/cache/index\d+)/level", path)
            if match:
                found.setdefault((int(value), self.path[match[1] + "/type"]), []).append(match[1])
        return found

    def hwloc(self):
        """Object type -> list of (set of CPUs, attributes)."""
        text = self.text("hwloc")
        found = {}
        for o in xml.etree.ElementTree.fromstring(text[text.index("<topology"):]).iter("object"):
            cpus = frozenset()
            if o.get("cpuset"):
                mask = 0  # words of 32 bits, the highest first; a zero may be short, or empty
                for word in o.get("cpuset").split(","):
                    mask = mask << 32 | int(word or "0", 16)
                cpus = frozenset(i for i in range(mask.bit_length()) if mask >> i & 1)
            found.setdefault(o.get("type"), []).append((cpus, o.attrib))
        return found


def cpuid_dump(lines):
    """The output of `cpuid -r`: CPU -> (leaf, sub-leaf) -> (eax, ebx, ecx, edx)."""
    cpus, own = {}, None
    for line in lines:
        if match := re.match(r"CPU (\d+):", line):
            own = cpus.setdefault(int(match[1]), {})
        elif match := re.match(r"\s*0x([0-9a-f]+) 0x([0-9a-f]+): eax=0x(\w+) ebx=0x(\w+) ecx=0x(\w+) edx=0x(\w+)", line):
            own[int(match[1], 16), int(match[2], 16)] = tuple(int(match[i], 16) for i in range(3, 7))
    return cpus
