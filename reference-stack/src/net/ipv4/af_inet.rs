//! The INET family (Linux `af_inet.c`).
