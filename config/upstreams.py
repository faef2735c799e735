"""Settings of registries elsewhere: where they are, and how to log in there. Mirrors and synchronisation name them."""

from typing import Annotated

from pydantic import Field, SecretStr

from config.fields import ByteCount, FilePath, Section, Words


class UpstreamSettings(Section):
    """One registry elsewhere. Without credentials here the logins that docker keeps on this machine are used."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    url: Annotated[str, Field(min_length=1, max_length=255)]
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: FilePath | None = None
    credential_command: Words = ()
    ca_file: FilePath | None = None
    plain_http: bool = False
    verify_tls: bool = True
    chunk_bytes: ByteCount = 0
