//! Sockets, rings and the clock.
