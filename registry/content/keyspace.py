"""Every storage key of the registry, in one place. Knows names and digests; reads and writes nothing.

docker/registry/v2/                                   as Docker's distribution lays it out, byte for byte
├── blobs/<alg>/<2 hex>/<hex>/data                    bytes by digest
└── repositories/<name>/
    ├── _layers/<alg>/<hex>/link                      this blob belongs to this repository
    └── _manifests/
        ├── revisions/<alg>/<hex>/link                this manifest belongs to this repository
        └── tags/<tag>/
            ├── current/link                          what the tag names now
            └── index/<alg>/<hex>/link                what the tag has ever named
cargohold/v1/                                         ours, beside it
├── tmp/                                              what is written before it has its place, and clocks
├── auth/…                                            signing keys, accounts, logins: `auth` lays them out; owner only
├── uploads/<session>.<repository's hash>             bytes of an upload that is under way
├── fetching/<alg>:<hex>                              who fetches a blob from elsewhere at this moment
├── pulls_since                                       since when times of pulls are kept
├── scrub                                             who reads everything again, and how far that is: `scrub_turn`
├── sync                                              who synchronises images, and when that was last done: `sync_turn`
├── quarantine/<alg>/<hex>                            bytes that were found not to be what their digest says
├── gc/                                               what pushes and the collector tell each other: `leases`
│   ├── collector                                     who collects, and whether it is at work
│   ├── last/<work>                                   when garbage collection, retention … were last done
│   ├── intents/<uuid>                                what a manifest push that is under way relies on
│   ├── touched/<uuid>                                what is relied upon since the collector is at work
│   └── condemned/<2 hex>                             digests that go now, unless somebody needs them
└── repositories/<name>/
    ├── _pulls/<alg>/<hex>                            when a manifest was last pulled
    ├── _pushed/<alg>/<hex>                           when a manifest was pushed that was copied here: `push_times`
    ├── _media_types/<alg>/<hex>                      media type as pushed, where the bytes do not say it
    ├── _trash/<alg>/<hex>/<uuid>                     a manifest or its tags were deleted, and can still be restored
    ├── _referrers/<alg>/<hex>/<alg>:<hex>            descriptor of a referrer, by subject         (can be rebuilt)
    └── _referrers_complete                           all manifests older than this are indexed    (can be rebuilt)

A link holds `<alg>:<hex>`, nothing more. Names of repositories never begin with `_`, so nothing here clashes.
"""

import hashlib

from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag

DISTRIBUTION = "docker/registry/v2/"
REPOSITORIES = "docker/registry/v2/repositories/"
OWN = "cargohold/v1/"
OWN_REPOSITORIES = "cargohold/v1/repositories/"
SCRATCH = "cargohold/v1/tmp"
AUTH = "cargohold/v1/auth/"
UPLOADS = "cargohold/v1/uploads/"
MANIFESTS = "_manifests"
BLOBS = "docker/registry/v2/blobs/"
PULLS_SINCE = "cargohold/v1/pulls_since"
FETCHING = "cargohold/v1/fetching/"
GC = "cargohold/v1/gc/"
COLLECTOR = "cargohold/v1/gc/collector"
LAST_DONE = "cargohold/v1/gc/last/"
INTENTS = "cargohold/v1/gc/intents/"
TOUCHED = "cargohold/v1/gc/touched/"
CONDEMNED = "cargohold/v1/gc/condemned/"
SCRUB = "cargohold/v1/scrub"
SYNC = "cargohold/v1/sync"
QUARANTINE = "cargohold/v1/quarantine/"


def fetching(digest: Digest) -> str:
    """The lease of whoever fetches a blob from elsewhere."""
    return f"{FETCHING}{digest}"


def blob(digest: Digest) -> str:
    """The bytes of a blob or manifest."""
    return f"{BLOBS}{digest.algorithm}/{digest.encoded[:2]}/{digest.encoded}/data"


def blobs(algorithm: str, shard: str) -> str:
    """The prefix of the blobs whose digests begin with two hex digits: `<hex>/data` follows."""
    return f"{BLOBS}{algorithm}/{shard}/"


def quarantined(digest: Digest) -> str:
    """Where the wrong bytes of a blob go."""
    return f"{QUARANTINE}{digest.algorithm}/{digest.encoded}"


def condemned(shard: str) -> str:
    """Of the digests that begin with two hex digits those that the collector is about to remove."""
    return f"{CONDEMNED}{shard}"


def repository(name: str) -> str:
    """The prefix of all that distribution keeps of a repository, or of a namespace of repositories."""
    return f"{REPOSITORIES}{name}/"


def layer_link(name: RepositoryName, digest: Digest) -> str:
    """The link that makes a blob part of a repository."""
    return f"{REPOSITORIES}{name}/_layers/{digest.algorithm}/{digest.encoded}/link"


def layers(name: str) -> str:
    """The prefix of a repository's blob links."""
    return f"{REPOSITORIES}{name}/_layers/"


def revision_link(name: str, digest: Digest) -> str:
    """The link that makes a manifest part of a repository."""
    return f"{REPOSITORIES}{name}/_manifests/revisions/{digest.algorithm}/{digest.encoded}/link"


def revisions(name: str) -> str:
    """The prefix of a repository's manifest links: `<alg>/<hex>/link` follows."""
    return f"{REPOSITORIES}{name}/_manifests/revisions/"


def manifests(name: str) -> str:
    """The prefix of all that a repository keeps of manifests and tags."""
    return f"{REPOSITORIES}{name}/_manifests/"


def tags(name: str) -> str:
    """The prefix of a repository's tags: `<tag>/…` follows."""
    return f"{REPOSITORIES}{name}/_manifests/tags/"


def tag(name: RepositoryName, tag: Tag) -> str:
    """The prefix of one tag."""
    return f"{REPOSITORIES}{name}/_manifests/tags/{tag}/"


def tag_current(name: str, tag: str) -> str:
    """The link that says what a tag names now."""
    return f"{REPOSITORIES}{name}/_manifests/tags/{tag}/current/link"


def tag_indexes(name: str, tag: str) -> str:
    """The prefix of the links that say what a tag has ever named: `<alg>/<hex>/link` follows."""
    return f"{REPOSITORIES}{name}/_manifests/tags/{tag}/index/"


def tag_index(name: RepositoryName, tag: Tag, digest: Digest) -> str:
    """The link that says that a tag has named a manifest."""
    return f"{tag_indexes(name, tag)}{digest.algorithm}/{digest.encoded}/link"


def upload(name: RepositoryName, session: str) -> str:
    """The bytes of an upload session. The repository is part of the key: a session is unknown anywhere else."""
    owner = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{UPLOADS}{session}.{owner}"


def media_type(name: str, digest: Digest) -> str:
    """The media type under which a manifest was pushed."""
    return f"{OWN_REPOSITORIES}{name}/_media_types/{digest.algorithm}/{digest.encoded}"


def pulls(name: str) -> str:
    """The prefix of the times of pulls: `<alg>/<hex>` follows."""
    return f"{OWN_REPOSITORIES}{name}/_pulls/"


def pulled(name: str, digest: Digest) -> str:
    """When a manifest was last pulled, in seconds since the epoch."""
    return f"{pulls(name)}{digest.algorithm}/{digest.encoded}"


def pushes(name: str) -> str:
    """The prefix of the times of pushes to other storages: `<alg>/<hex>` follows."""
    return f"{OWN_REPOSITORIES}{name}/_pushed/"


def pushed(name: str, digest: Digest) -> str:
    """When a manifest was pushed, if it came from another storage: see `push_times`."""
    return f"{pushes(name)}{digest.algorithm}/{digest.encoded}"


def media_types(name: str) -> str:
    """The prefix of the media types that a repository keeps: `<alg>/<hex>` follows."""
    return f"{OWN_REPOSITORIES}{name}/_media_types/"


def trash(name: str) -> str:
    """The prefix of what is known of deletions in a repository: `<alg>/<hex>/<uuid>` follows."""
    return f"{OWN_REPOSITORIES}{name}/_trash/"


def deleted(name: str, digest: Digest, record: str) -> str:
    """The record of one deletion of a manifest, or of tags that named it."""
    return f"{trash(name)}{digest.algorithm}/{digest.encoded}/{record}"


def referrers(name: str, subject: Digest) -> str:
    """The prefix of the referrers of one manifest."""
    return f"{OWN_REPOSITORIES}{name}/_referrers/{subject.algorithm}/{subject.encoded}/"


def referrer(name: str, subject: Digest, digest: Digest) -> str:
    """The descriptor of one referrer."""
    return f"{referrers(name, subject)}{digest}"


def all_referrers(name: str) -> str:
    """The prefix of all referrer entries of a repository."""
    return f"{OWN_REPOSITORIES}{name}/_referrers/"


def referrers_complete(name: str) -> str:
    """The mark that the manifests which lay there before us are in the referrers index."""
    return f"{OWN_REPOSITORIES}{name}/_referrers_complete"
