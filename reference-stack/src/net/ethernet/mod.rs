//! Ethernet (Linux `net/ethernet/`).
