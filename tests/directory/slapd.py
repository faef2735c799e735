"""A real directory for the tests: Debian's slapd on a free port of the loopback, with a few people and groups.

Knows how to fill, start and stop it. It is started from a copy, for a confined /usr/sbin/slapd reads no other place
than its own.
"""

import re
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from auth.ldap_directory import LdapOptions
from tests.live_server import ReservedPort
from tests.programs import leave_out

BASE = "dc=example,dc=org"
SERVICE_DN, SERVICE_PASSWORD = f"cn=cargohold,{BASE}", "look but do not touch"
PASSWORDS = {
    "alice": "correct horse",
    "bob": "battery staple",
    "o'hara (jr)": "quotes, too",
    'smith, "jo" *': "soft\u00adhyphen \u00bd",
    "locked": "not any more",
    "expired": "not since 2020",
}
_SLAPD = Path("/usr/sbin/slapd")
_MODULES = Path("/usr/lib/ldap")
_SCHEMAS = Path("/etc/ldap/schema")
_START_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RunningDirectory:
    """A directory that answers at `url`; at `tls_url` with a certificate of the authority in `ca_file`."""

    url: str
    tls_url: str
    ca_file: Path
    process: subprocess.Popen[bytes]

    def options(self, **changes: object) -> LdapOptions:
        """How to ask it: by search, with a service account."""
        values: dict[str, object] = {
            "url": self.url,
            "start_tls": False,
            "ca_file": str(self.ca_file),
            "timeout": 5.0,
            "bind_dn": SERVICE_DN,
            "bind_password": SERVICE_PASSWORD,
            "user_dn": "",
            "user_base": f"ou=people,{BASE}",
            "user_filter": "(&(objectClass=inetOrgPerson)(uid={user}))",
            "name_attribute": "uid",
            "group_base": f"ou=groups,{BASE}",
            "group_filter": "(&(objectClass=groupOfNames)(member={dn}))",
            "group_attribute": "cn",
            "required_group": "",
            **changes,
        }
        return LdapOptions(**values)  # type: ignore[arg-type]


@contextmanager
def directory(place: Path, elsewhere: str = "ldap://127.0.0.1:9") -> Iterator[RunningDirectory]:
    """A running directory with its files in `place`; gone afterwards. For `ou=elsewhere` it refers to that URL."""
    if not _SLAPD.exists():
        leave_out("slapd is not installed")
    port, tls_port = ReservedPort(), ReservedPort()
    url, tls_url = f"ldap://127.0.0.1:{port.number}", f"ldaps://localhost:{tls_port.number}"
    _make_certificate(place)
    (place / "db").mkdir()
    (place / "slapd.conf").write_text(_configuration(place))
    (place / "people.ldif").write_text(_people(elsewhere))
    program = Path(shutil.copy(_SLAPD, place / "directory-server"))
    common = ["-f", str(place / "slapd.conf")]
    # slapd acts as slapadd if it is called so
    subprocess.run([program, "-Tadd", *common, "-l", str(place / "people.ldif")], check=True, capture_output=True)
    with (place / "slapd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                "-d",
                "0",
                *common,
                "-h",
                f"{url} ldaps://127.0.0.1:{tls_port.number} ldaps://127.0.0.2:{tls_port.number}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, port.number, place / "slapd.log")
        yield RunningDirectory(url, tls_url, place / "ca.pem", process)
    finally:
        process.kill()
        process.wait()
        port.close()
        tls_port.close()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"slapd ended with {process.returncode}:\n{log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"slapd does not answer:\n{log.read_text()}")


def _configuration(place: Path) -> str:
    schemas = "\n".join(f"include {_SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson"))
    return f"""
{schemas}
modulepath {_MODULES}
moduleload back_mdb
moduleload ppolicy
pidfile {place}/slapd.pid
TLSCACertificateFile {place}/ca.pem
TLSCertificateFile {place}/server.pem
TLSCertificateKeyFile {place}/server.key
database mdb
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
directory {place}/db
maxsize 16777216
sizelimit 3
overlay ppolicy
ppolicy_default "cn=policy,{BASE}"
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=groups,{BASE}" by dn.exact="{SERVICE_DN}" read by users read by * none
access to * by dn.exact="{SERVICE_DN}" read by anonymous auth by self read by * none
"""


def _people(elsewhere: str) -> str:
    entries = [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example",
        f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people",
        f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups",
        f"dn: {SERVICE_DN}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\ncn: cargohold\n"
        f"userPassword: {SERVICE_PASSWORD}",
        f"dn: cn=policy,{BASE}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\n"
        "pwdLockout: TRUE\npwdMaxAge: 86400",
        f"dn: ou=elsewhere,ou=people,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n"
        f"ref: {elsewhere}/ou=people,{BASE}",
    ]
    entries += [_person(name, password) for name, password in PASSWORDS.items()]
    # two people of one name, which is a mistake in the directory
    entries += [
        f"dn: cn=twin {number},ou=people,{BASE}\nobjectClass: inetOrgPerson\ncn: twin {number}\nsn: twin\nuid: twin\n"
        "userPassword: twin"
        for number in (1, 2)
    ]
    entries += [
        f"dn: cn=dev,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: dev\n"
        f"member: uid=alice,ou=people,{BASE}\nmember: uid=bob,ou=people,{BASE}",
        f"dn: cn=odd,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: odd\n"
        + "\n".join(f"member: {_dn(name)}" for name in PASSWORDS if not name.isalnum()),
        f"dn: cn=ops,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: ops\nmember: uid=alice,ou=people,{BASE}",
    ]
    return "\n\n".join(entries) + "\n"


def _dn(name: str) -> str:
    escaped = re.sub(r'([,"])', r"\\\1", name)
    return f"uid={escaped},ou=people,{BASE}"


def _person(name: str, password: str) -> str:
    # a password without a time of change does not expire
    states = {"locked": "\npwdAccountLockedTime: 000001010000Z", "expired": "\npwdChangedTime: 20200101000000Z"}
    return (
        f"dn: {_dn(name)}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        "mail: one@example.org\nmail: two@example.org\n"
        f"userPassword:: {b64encode(password.encode()).decode()}{states.get(name, '')}"
    )


def _make_certificate(place: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=place)

    (place / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    openssl(*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.pem", "-days", "2", "-extfile", "names"),
    )
