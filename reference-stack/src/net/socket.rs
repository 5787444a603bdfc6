//! The socket layer (Linux `net/socket.c`).
