//! The FTGMAC100 of the AST2500.
