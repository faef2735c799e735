"""When a connection is read from: uvicorn's flow control, and what was read and has to wait. Must not know HTTP."""

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Of one connection. While bytes are held nothing more is read, whoever asks for it."""

    held = b""

    def hold(self, data: bytes) -> None:
        """Keep what was read, and read no more."""
        self.pause_reading()
        self.held = data

    def let_go(self) -> bytes:
        """Read on, behind what was held."""
        data, self.held = self.held, b""
        self.resume_reading()
        return data

    def resume_reading(self) -> None:
        """Read on, if nothing is held."""
        if not self.held:
            super().resume_reading()
