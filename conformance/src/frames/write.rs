//! Writing of captures: what the reference sent, for Wireshark.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter as Inner};
use pcap_file::{DataLink, Endianness, TsResolution};

/// Writes Ethernet frames as a pcap file with nanosecond stamps.
pub struct PcapWriter<W: Write> {
    inner: Inner<W>,
}

impl<W: Write> PcapWriter<W> {
    /// Starts a file.
    pub fn new(to: W) -> std::io::Result<Self> {
        let header = PcapHeader {
            snaplen: 262_144,
            datalink: DataLink::ETHERNET,
            ts_resolution: TsResolution::NanoSecond,
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        Ok(Self { inner: Inner::with_header(to, header).map_err(other)? })
    }

    /// Adds a frame with its time, nanoseconds since the epoch.
    pub fn frame(&mut self, time_ns: u64, data: &[u8]) -> std::io::Result<()> {
        let packet = PcapPacket {
            timestamp: Duration::from_nanos(time_ns),
            orig_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(data),
        };
        self.inner.write_packet(&packet).map(|_| ()).map_err(other)
    }
}

fn other(e: pcap_file::PcapError) -> std::io::Error {
    match e {
        pcap_file::PcapError::IoError(e) => e,
        e => std::io::Error::other(e),
    }
}
