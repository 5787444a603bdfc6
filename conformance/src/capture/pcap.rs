//! Reading of pcap and pcapng: one packet at a time, in the order of the file.
//!
//! Both byte orders, micro- and nanosecond stamps, any snap length. pcapng files may have several
//! sections and interfaces; simple packet blocks, which carry no time, are refused.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::link::Link;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderBlock;
use pcap_file::{DataLink, Endianness, TsResolution};

const PACKET_BLOCK: u32 = 2;
const SIMPLE_PACKET_BLOCK: u32 = 3;
const ENHANCED_PACKET_BLOCK: u32 = 6;

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its number as Wireshark counts: the first of the file is 1.
    pub number: u64,
    /// Time stamp, nanoseconds since 1970-01-01 00:00:00 UTC.
    pub time_ns: u64,
    /// Length on the wire, bytes; more than `data` holds where the capture cut it.
    pub orig_len: u32,
    /// The captured bytes, from the Ethernet header on; a frame of another link has a header of
    /// zeros with the EtherType (`link`).
    pub data: Vec<u8>,
    /// Whether the host sent it, where the link type says so.
    pub outgoing: Option<bool>,
    /// What it was captured on.
    pub link: Link,
    /// Where the bytes are in the file, if they are there as they are here.
    pub at: Option<u64>,
}

/// Why a capture file could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PcapError {
    /// The file could not be opened or read.
    #[error("{file}: {source}")]
    #[diagnostic(code(netplumb::capture::io))]
    Io {
        /// Path of the file.
        file: String,
        /// What the host said.
        source: std::io::Error,
    },
    /// The first bytes are no pcap or pcapng magic.
    #[error("{file}: not a pcap or pcapng file (it starts with {magic})")]
    #[diagnostic(
        code(netplumb::capture::magic),
        help("a capture is what `tcpdump -w FILE` writes")
    )]
    Magic {
        /// Path of the file.
        file: String,
        /// The first bytes in hex.
        magic: String,
    },
    /// The file ends inside a packet.
    #[error("{file}: cut off in packet {packet}, which starts at byte {offset}")]
    #[diagnostic(
        code(netplumb::capture::truncated),
        help("the packets before it are whole; was the capture still being written?")
    )]
    Truncated {
        /// Path of the file.
        file: String,
        /// Number of the packet that is not whole.
        packet: u64,
        /// Where it starts in the file.
        offset: u64,
    },
    /// A field of the file has an impossible value.
    #[error("{file}: packet {packet} at byte {offset}: {what}")]
    #[diagnostic(code(netplumb::capture::damaged))]
    Damaged {
        /// Path of the file.
        file: String,
        /// Number of the packet.
        packet: u64,
        /// Where it starts in the file.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Frames of a link that this version does not decode.
    #[error("{file}: unsupported link type {linktype}")]
    #[diagnostic(
        code(netplumb::capture::linktype),
        help("Ethernet (1), raw IP (12, 101, 228, 229) and Linux cooked (113, 276) are supported")
    )]
    LinkType {
        /// Path of the file.
        file: String,
        /// `LINKTYPE_*` number.
        linktype: u32,
    },
}

/// A stream of the packets of one file.
pub struct PacketReader<R: Read> {
    file: String,
    inner: Inner<R>,
    link: Link,
    /// Packets given so far.
    count: u64,
    /// Which Ethernet frames are wanted: those of this address and to groups.
    only: Option<[u8; 6]>,
    /// Byte offset of the next record.
    offset: u64,
    done: bool,
}

// Each reader owns a buffer of several megabytes, so the enum's own size does not matter.
enum Inner<R: Read> {
    Pcap(PcapReader<R>),
    PcapNg(PcapNgReader<R>),
}

impl PacketReader<File> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<PacketReader<impl Read + use<>>, PcapError> {
        let file = path.display().to_string();
        let io = |source| PcapError::Io { file: path.display().to_string(), source };
        let f = File::open(path).map_err(io)?;
        if f.metadata().map_err(io)?.is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(PcapError::Io { file, source });
        }
        PacketReader::new(&file, f)
    }
}

impl<R: Read> PacketReader<R> {
    /// Reads the file's header. `name` is how errors call it.
    pub fn new(name: &str, mut reader: R) -> Result<PacketReader<impl Read + use<R>>, PcapError> {
        let file = name.to_owned();
        let mut head = [0u8; 4];
        let mut have = 0;
        while have < head.len() {
            match reader.read(&mut head[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(PcapError::Io { file, source }),
            }
        }
        let hex: Vec<String> = head[..have].iter().map(|b| format!("{b:02x}")).collect();
        let magic = if hex.is_empty() { "nothing: it is empty".to_owned() } else { hex.join(" ") };
        let rest = std::io::Cursor::new(head[..have].to_vec()).chain(reader);
        let header_error = |e| match e {
            pcap_file::PcapError::IoError(source)
                if source.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                PcapError::Io { file: name.to_owned(), source }
            }
            pcap_file::PcapError::IoError(_) | pcap_file::PcapError::IncompleteBuffer => {
                PcapError::Truncated { file: name.to_owned(), packet: 0, offset: 0 }
            }
            other => PcapError::Damaged {
                file: name.to_owned(),
                packet: 0,
                offset: 0,
                what: other.to_string(),
            },
        };
        // Of a pcapng file each interface has its own.
        let mut link = Link::Ethernet;
        let (inner, offset) = match &head[..have] {
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x4d, 0x3c, 0xb2, 0xa1] => {
                let r = PcapReader::new(rest).map_err(header_error)?;
                link = check_link(&file, r.header().datalink)?;
                (Inner::Pcap(r), 24)
            }
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                let r = PcapNgReader::new(rest).map_err(header_error)?;
                // Type, two lengths, magic, version, section length and the options.
                let offset = 28 + section_options_len(r.section());
                (Inner::PcapNg(r), offset)
            }
            _ => return Err(PcapError::Magic { file, magic }),
        };
        Ok(PacketReader { file, inner, link, count: 0, only: None, offset, done: false })
    }

    /// From now on Ethernet frames neither from nor to this address nor to a group are counted and
    /// passed over.
    pub fn only(mut self, mac: [u8; 6]) -> Self {
        self.only = Some(mac);
        self
    }

    fn error(&self, e: pcap_file::PcapError) -> PcapError {
        let file = self.file.clone();
        let (packet, offset) = (self.count + 1, self.offset);
        match e {
            pcap_file::PcapError::IoError(source)
                if source.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                PcapError::Io { file, source }
            }
            pcap_file::PcapError::IoError(_) | pcap_file::PcapError::IncompleteBuffer => {
                PcapError::Truncated { file, packet, offset }
            }
            other => PcapError::Damaged { file, packet, offset, what: other.to_string() },
        }
    }

    fn damaged(&self, what: &str) -> PcapError {
        PcapError::Damaged {
            file: self.file.clone(),
            packet: self.count + 1,
            offset: self.offset,
            what: what.to_owned(),
        }
    }

    fn next_pcap(&mut self) -> Option<Result<Packet, PcapError>> {
        loop {
            match self.pcap_record()? {
                Ok(None) => {}
                Ok(Some(packet)) => return Some(Ok(packet)),
                Err(e) => return Some(Err(e)),
            }
        }
    }

    /// The next record of a pcap file; `None` inside: it is not wanted.
    fn pcap_record(&mut self) -> Option<Result<Option<Packet>, PcapError>> {
        let (only, link, offset) = (self.only, self.link, self.offset);
        let Inner::Pcap(r) = &mut self.inner else { return None };
        let nano = r.header().ts_resolution == TsResolution::NanoSecond;
        // The library's own packet type refuses an original length above the snap length, which
        // is what every capture with `-s` has.
        let (sec, frac, incl, orig_len, data) = match r.next_raw_packet()? {
            Ok(raw) => {
                let kept = wanted(only, link, &raw.data).then(|| raw.data.into_owned());
                (raw.ts_sec, raw.ts_frac, raw.incl_len, raw.orig_len, kept)
            }
            Err(e) => return Some(Err(self.error(e))),
        };
        if incl > orig_len {
            return Some(Err(self.damaged("more bytes captured than the frame had")));
        }
        if frac >= if nano { 1_000_000_000 } else { 1_000_000 } {
            return Some(Err(self.damaged("the fraction of its time stamp is a second or more")));
        }
        let frac = u64::from(frac) * if nano { 1 } else { 1000 };
        let framed = match data {
            None => None,
            Some(data) => match link.frame(data) {
                Some(framed) => Some(framed),
                None => return Some(Err(self.damaged("it is shorter than its link's header"))),
            },
        };
        self.count += 1;
        self.offset += 16 + u64::from(incl);
        Some(Ok(framed.map(|framed| Packet {
            number: self.count,
            time_ns: u64::from(sec) * 1_000_000_000 + frac,
            orig_len: link.length(orig_len),
            at: (link == Link::Ethernet).then_some(offset + 16),
            ..framed
        })))
    }

    fn next_pcapng(&mut self) -> Option<Result<Packet, PcapError>> {
        loop {
            let Inner::PcapNg(r) = &mut self.inner else { return None };
            let (kind, len, body) = match r.next_raw_block()? {
                Ok(raw) => (raw.type_, u64::from(raw.initial_len), raw.body.into_owned()),
                Err(e) => return Some(Err(self.error(e))),
            };
            match kind {
                ENHANCED_PACKET_BLOCK => {
                    let packet = self.enhanced_packet(&body);
                    self.count += u64::from(packet.is_ok());
                    self.offset += len;
                    if let Ok(p) = &packet
                        && !wanted(self.only, p.link, &p.data)
                    {
                        continue;
                    }
                    return Some(packet);
                }
                PACKET_BLOCK | SIMPLE_PACKET_BLOCK => {
                    return Some(Err(
                        self.damaged("a packet block without a time stamp or of an obsolete kind")
                    ));
                }
                _ => self.offset += len,
            }
        }
    }

    /// Takes an enhanced packet block apart: the library's own reading of it takes every stamp
    /// for nanoseconds, whatever the interface says.
    fn enhanced_packet(&self, body: &[u8]) -> Result<Packet, PcapError> {
        let Inner::PcapNg(r) = &self.inner else {
            return Err(self.damaged("not a pcapng file"));
        };
        let big = r.section().endianness == Endianness::Big;
        let word = |i: usize| -> Option<u32> {
            let b: [u8; 4] = body.get(4 * i..4 * i + 4)?.try_into().ok()?;
            Some(if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
        };
        let (Some(id), Some(high), Some(low), Some(captured), Some(orig_len)) =
            (word(0), word(1), word(2), word(3), word(4))
        else {
            return Err(self.damaged("its block is too short"));
        };
        let Some(data) = body.get(20..).and_then(|d| d.get(..captured as usize)) else {
            return Err(self.damaged("more bytes captured than its block holds"));
        };
        let Some(ifd) = r.interfaces().get(id as usize) else {
            return Err(self.damaged("it names an interface that is not described"));
        };
        let link = check_link(&self.file, ifd.linktype)?;
        let resol = ifd.options.iter().find_map(|o| match o {
            InterfaceDescriptionOption::IfTsResol(r) => Some(*r),
            _ => None,
        });
        let raw = u128::from(high) << 32 | u128::from(low);
        let Some(time_ns) = scale_stamp(raw, resol) else {
            return Err(self.damaged("its time stamp is out of range"));
        };
        let Some(framed) = link.frame(data.to_vec()) else {
            return Err(self.damaged("it is shorter than its link's header"));
        };
        let orig_len = link.length(orig_len);
        // Behind the block's type, length and five words.
        let at = (link == Link::Ethernet).then_some(self.offset + 28);
        Ok(Packet { number: self.count + 1, time_ns, orig_len, at, ..framed })
    }
}

impl<R: Read> Iterator for PacketReader<R> {
    type Item = Result<Packet, PcapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = match self.inner {
            Inner::Pcap(_) => self.next_pcap(),
            Inner::PcapNg(_) => self.next_pcapng(),
        };
        // After the first error there is no record boundary to go on from.
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Whether a frame is from or to an address, or to a group; all are without an address.
fn wanted(only: Option<[u8; 6]>, link: Link, data: &[u8]) -> bool {
    let (Some(mac), Some(head)) = (only.filter(|_| link == Link::Ethernet), data.get(..12)) else {
        return true;
    };
    head[0] & 1 == 1 || head[..6] == mac || head[6..] == mac
}

/// All packets of a file.
pub fn read_packets(path: &Path) -> Result<Vec<Packet>, PcapError> {
    PacketReader::open(path)?.collect()
}

fn check_link(file: &str, link: DataLink) -> Result<Link, PcapError> {
    let linktype = u32::from(link);
    // The upper bits of a pcap header's field carry the FCS length.
    Link::of(linktype & 0xffff)
        .ok_or_else(|| PcapError::LinkType { file: file.to_owned(), linktype })
}

/// A pcapng stamp in nanoseconds; `if_tsresol` is a power of ten, or of two with bit 7 set.
fn scale_stamp(raw: u128, resol: Option<u8>) -> Option<u64> {
    let resol = resol.unwrap_or(6);
    let exp = u32::from(resol & 0x7f);
    let ns = if resol & 0x80 != 0 {
        if exp > 64 {
            return None;
        }
        raw.checked_mul(1_000_000_000)? >> exp
    } else if exp <= 9 {
        raw.checked_mul(10u128.checked_pow(9 - exp)?)?
    } else {
        raw / 10u128.checked_pow(exp - 9)?
    };
    // A century away, so that times can be added to.
    u64::try_from(ns).ok().filter(|ns| *ns < 1 << 62)
}

/// Bytes of a section header's options: each has four bytes before it and is padded to four,
/// and an end-of-options follows.
fn section_options_len(section: &SectionHeaderBlock<'_>) -> u64 {
    use pcap_file::pcapng::blocks::section_header::SectionHeaderOption as O;
    let padded = |n: usize| 4 + (n as u64).div_ceil(4) * 4;
    let options: u64 = section
        .options
        .iter()
        .map(|o| match o {
            O::Comment(s) | O::Hardware(s) | O::OS(s) | O::UserApplication(s) => padded(s.len()),
            O::CustomBinary(c) => padded(c.value.len() + 4),
            O::CustomUtf8(c) => padded(c.value.len() + 4),
            O::Unknown(u) => padded(u.value.len()),
        })
        .sum();
    if options == 0 { 0 } else { options + 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcap(magic: u32, records: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let mut f = Vec::new();
        for w in [magic, 0x0004_0002, 0, 0, 64, 1] {
            f.extend_from_slice(&u32::to_le_bytes(w));
        }
        for (sec, frac, orig, data) in records {
            for w in [*sec, *frac, data.len() as u32, *orig] {
                f.extend_from_slice(&w.to_le_bytes());
            }
            f.extend_from_slice(data);
        }
        f
    }

    fn read(bytes: Vec<u8>) -> Vec<Result<Packet, PcapError>> {
        match PacketReader::new("x.pcap", std::io::Cursor::new(bytes)) {
            Ok(r) => r.collect(),
            Err(e) => vec![Err(e)],
        }
    }

    #[test]
    fn stamps_and_short_snap_lengths() {
        let micro = read(pcap(0xa1b2_c3d4, &[(7, 999_999, 1500, &[1; 60])]));
        let p = micro[0].as_ref().unwrap();
        assert_eq!((p.number, p.time_ns, p.orig_len, p.data.len()), (1, 7_999_999_000, 1500, 60));
        let nano = read(pcap(0xa1b2_3c4d, &[(7, 999_999, 60, &[1; 60])]));
        assert_eq!(nano[0].as_ref().unwrap().time_ns, 7_000_999_999);
    }

    #[test]
    fn truncated_file_names_packet_and_offset() {
        let mut f = pcap(0xa1b2_c3d4, &[(7, 1, 60, &[1; 60]), (7, 2, 60, &[1; 60])]);
        f.truncate(f.len() - 5);
        let got = read(f);
        assert_eq!(got.len(), 2);
        assert!(matches!(got[1], Err(PcapError::Truncated { packet: 2, offset: 100, .. })));
    }

    #[test]
    fn other_files_are_named_as_such() {
        assert!(matches!(read(b"hello, world".to_vec())[0], Err(PcapError::Magic { .. })));
        assert!(matches!(read(Vec::new())[0], Err(PcapError::Magic { .. })));
        let mut f = pcap(0xa1b2_c3d4, &[]);
        f[20] = 105;
        assert!(matches!(read(f)[0], Err(PcapError::LinkType { linktype: 105, .. })));
    }

    #[test]
    fn pcapng_in_its_own_resolution() {
        let mut f = Vec::new();
        let mut words = |w: &[u32]| w.iter().for_each(|w| f.extend_from_slice(&w.to_be_bytes()));
        words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX, 28]);
        // if_tsresol (9), one byte: 3, milliseconds.
        words(&[1, 32, 0x0001_0000, 0, 0x0009_0001, 0x0300_0000, 0, 32]);
        words(&[6, 36, 0, 0, 5, 4, 1500, 0xdead_beef, 36]);
        let got = read(f.clone());
        let p = got[0].as_ref().unwrap();
        assert_eq!((p.time_ns, p.data.len(), p.orig_len), (5_000_000, 4, 1500));
        f.truncate(f.len() - 2);
        assert!(matches!(read(f)[0], Err(PcapError::Truncated { packet: 1, offset: 60, .. })));
    }
}
