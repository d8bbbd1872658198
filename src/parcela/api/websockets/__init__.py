"""WebSockets: the protocol, frames built once for many, and who may open one."""
