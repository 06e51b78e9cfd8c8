"""For channeldata.json, which isn't asked for."""


class VersionOrder:
    def __init__(self, version: str) -> None:
        raise NotImplementedError(f"channeldata.json needs the real conda ({version})")
