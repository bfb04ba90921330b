"""Reads published repositories without any code of ours: prints, as JSON, what each one says of its packages.

    read-repository.py DIRECTORY...
"""

import gzip
import hashlib
import json
import os
import sys
import xml.etree.ElementTree as xml

NS = {"r": "{http://linux.duke.edu/metadata/repo}", "p": "{http://linux.duke.edu/metadata/common}"}


def read(directory):
    index = xml.parse(os.path.join(directory, "repodata/repomd.xml")).getroot()
    out = {"revision": int(index.find(NS["r"] + "revision").text), "types": [], "wrong": []}
    for data in index.findall(NS["r"] + "data"):
        kind = data.get("type")
        out["types"].append(kind)
        text = lambda name: data.find(NS["r"] + name).text
        path = os.path.join(directory, data.find(NS["r"] + "location").get("href"))
        with open(path, "rb") as file:
            closed = file.read()
        content = gzip.decompress(closed) if path.endswith(".gz") else closed
        facts = {
            "checksum": hashlib.sha256(closed).hexdigest(),
            "size": str(len(closed)),
        }
        if path.endswith(".gz"):
            facts.update({"open-checksum": hashlib.sha256(content).hexdigest(), "open-size": str(len(content))})
        out["wrong"] += [f"{kind} {name}: {text(name)} is {value}" for name, value in facts.items() if text(name) != value]
        if facts["checksum"] not in path:
            out["wrong"].append(f"{kind}: {path} is not named by its checksum")
        if kind in ("primary", "filelists", "other"):
            out[kind] = lists(kind, content)
    return out


def lists(kind, content):
    root = xml.fromstring(content)
    packages = {}
    for package in root:
        version = next(e for e in package if e.tag.endswith("}version"))
        evr = [version.get(name) for name in ("epoch", "ver", "rel")]
        if kind == "primary":
            find = lambda name: package.find(NS["p"] + name)
            location = find("location")
            key = find("checksum").text
            value = [find("name").text, *evr, find("arch").text, location.get("href"), location.attrib, find("summary").text]
        else:
            key = package.get("pkgid")
            value = [package.get("name"), *evr, package.get("arch"), [e.text for e in package if not e.tag.endswith("}version")]]
        assert key not in packages, f"{key} is twice in {kind}"
        packages[key] = value
    assert root.get("packages") == str(len(packages)), f"{kind} says packages={root.get('packages')}, there are {len(packages)}"
    return packages


print(json.dumps([read(directory) for directory in sys.argv[1:]]))
