"""What a shape is, computed from the options that ask for it and from nothing of trellis.

Places, APIC ids (Intel SDM vol. 3, "Hierarchical Mapping of Shared Resources": bit fields, each as wide as the
largest number in it needs), caches and NUMA nodes, as tools/test-topology expects a guest to find them.
"""
import itertools

LEVELS = ["thread", "core", "module", "die", "package"]
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text):
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


def numbers(text):
    """ "0-3,8" -> [0, 1, 2, 3, 8] """
    out = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        out += range(int(first), int(last or first) + 1)
    return out


def level(word):
    return "package" if word == "socket" else word


class Cpu:
    def __init__(self, index, place):
        self.index = index
        self.place = place  # level -> number inside the next larger unit
        self.node = 0
        self.type = None
        self.group = {}  # cache name -> number
        self.apic = None

    def unit(self, lvl):
        """What is equal for all CPUs of one unit."""
        return tuple(self.place[x] for x in reversed(LEVELS[LEVELS.index(lvl):]))


class Cache:
    """One kind: name ("l1d"), how it is shared, and what was said of its size (None: the host's)."""

    def __init__(self, name, shared, core_type=None):
        self.name, self.shared, self.core_type = name, shared, core_type
        self.bytes = self.ways = self.line = None

    def instance(self, cpu):
        if self.core_type and cpu.type != self.core_type:
            return None
        if self.name in cpu.group:
            return ("group", cpu.group[self.name])
        return cpu.unit(self.shared)


class Shape:
    def __init__(self, options, directory="."):
        self.caches = [Cache("l1d", "core"), Cache("l1i", "core"), Cache("l2", "core"), Cache("l3", "die")]
        self.nodes = {}  # number -> bytes
        self.distance = {}  # (from, to)
        self.path = {}  # (initiator, memory) -> {"read_latency": ...}
        self.cpus = []
        given = list(zip(options[::2], options[1::2]))
        for option, value in given:
            if option == "--cpus":
                self._regular(value)
            elif option == "--topology":
                self._file(f"{directory}/{value}")
        self._ids()
        for option, value in given:
            if option == "--cache":
                self._cache(value)
            elif option == "--numa":
                self._numa(value)

    def _regular(self, value):
        count, *rest = value.split(",")
        said = dict(x.split("=") for x in rest)
        said = {k: int(v) for k, v in said.items()}
        total = said.pop("max", int(count))
        said = {k.rstrip("s"): v for k, v in said.items()}
        said["package"] = said.pop("socket", 0)
        said["module"] = said.get("module", 0)
        product = 1
        for word in LEVELS:
            product *= said.get(word) or 1
        # Cores before sockets, everything else is 1.
        missing = "package" if said.get("core") and not said["package"] else "core"
        n = {word: said.get(word) or (total // product if word == missing else 1) for word in LEVELS}
        for place in itertools.product(*(range(n[word]) for word in reversed(LEVELS))):
            self.cpus.append(Cpu(len(self.cpus), dict(zip(reversed(LEVELS), place))))
        assert len(self.cpus) == total, "the shape's product"
        self.present = int(count)

    def _file(self, path):
        own = []
        with open(path) as file:
            lines = [line.split("#")[0].split() for line in file]
        for what, *rest in filter(None, lines):
            if what == "cache":
                name, *keys = rest
                keys = dict(x.split("=") for x in keys)
                cache = Cache(name, level(keys["shared"]), keys.get("type"))
                cache.bytes, cache.ways, cache.line = size(keys["size"]), int(keys["ways"]), int(keys["line"])
                own.append(cache)
                continue
            keys = dict(x.split("=") for x in rest[1:])
            axes = [numbers(keys.get(word, "0")) for word in reversed(LEVELS)]
            places = list(itertools.product(*axes))
            indices = numbers(rest[0])
            assert len(places) == len(indices), rest
            for index, place in zip(indices, places):
                cpu = Cpu(index, dict(zip(reversed(LEVELS), place)))
                cpu.type = keys.get("type")
                cpu.node = int(keys.get("node", "0"))
                cpu.group = {k: int(v) for k, v in keys.items() if k in ("l1d", "l1i", "l2", "l3")}
                self.cpus.append(cpu)
        names = {c.name for c in own}
        self.caches = [c for c in self.caches if c.name not in names] + own
        self.present = len(self.cpus)

    def _ids(self):
        self.shift = {}  # level -> first bit of its field
        at = 0
        for word in LEVELS:
            self.shift[word] = at
            at += max(cpu.place[word] for cpu in self.cpus).bit_length()
        for cpu in self.cpus:
            cpu.apic = sum(cpu.place[word] << self.shift[word] for word in LEVELS)
        self.most = {word: len({cpu.place[word] for cpu in self.cpus}) for word in LEVELS}

    def _cache(self, value):
        for item in value.split(","):
            name, _, rest = item.partition("=")
            rest, _, shared = rest.partition("/")
            bytes_, ways, line = (rest.split(":") + [None, None])[:3]
            for cache in self.caches:
                if cache.name == name:
                    cache.bytes = size(bytes_)
                    cache.ways = int(ways) if ways else None
                    cache.line = int(line) if line else None
                    cache.shared = level(shared) if shared else cache.shared

    def _numa(self, value):
        keys = dict(x.split("=") for x in value.split(","))
        if "node" in keys:
            node = int(keys["node"])
            self.nodes[node] = size(keys["memory"])
            for index in numbers(keys.get("cpus", "")):
                self.cpus[index].node = node
        elif "dist" in keys:
            a, b, d = map(int, keys["dist"].split(":"))
            self.distance[a, b] = d
            self.distance.setdefault((b, a), d)
        else:
            a, b = map(int, keys.pop("hmat").split(":"))
            path = self.path.setdefault((a, b), {})
            for key, number in keys.items():
                for way in (["read", "write"] if "-" not in key else [key.split("-")[0]]):
                    path[f"{way}_{key.split('-')[-1]}"] = int(number)

    # --- questions ---

    def running(self):
        return [cpu for cpu in self.cpus if cpu.index < self.present]

    def far(self, a, b):
        return self.distance.get((a, b), 10 if a == b else 20)

    def has(self, word):
        """Are there several units of this level in one of the next larger?"""
        return max(cpu.place[word] for cpu in self.cpus) > 0

    def boot_unit(self, word):
        """How many processors, pluggable ones included, are in the boot processor's unit."""
        return sum(cpu.unit(word) == self.cpus[0].unit(word) for cpu in self.cpus)
