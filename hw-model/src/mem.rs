//! DMA memory: what the bus masters of the MACs see at 32-bit bus addresses.
//!
//! A mapping takes a driver's buffer into the table and gives it a bus address (`dma_map_single`); unmapping
//! takes the buffer out again. Buffers are shared, never copied: a frame on the wire is a list of slices of them.
//! The table is in two levels of [`Arc`], so that a clone of the memory is one count and the first write after it
//! copies the root, one leaf and the buffer it goes to, not the memory. Descriptor rings are looked at several times a
//! frame: small coherent memory stands beside the table, one step away.
//!
//! Addresses are as strict as behind an IOMMU: an access that is not wholly inside one live mapping is a
//! [`BusError`]. A board without an IOMMU would let it through to whatever lies there; a model that answers with
//! an error shows a driver's fault where it happens. Addresses are reused last-in first-out by size, so that
//! equal runs see equal addresses.

use crate::DRAM_BASE;
use std::fmt;
use triomphe::Arc;

/// A shared byte buffer.
pub type Buf = std::sync::Arc<Vec<u8>>;

const PAGE: u32 = 4096;
/// DRAM of the board in pages: 512 MiB.
const DRAM_PAGES: u32 = 0x2_0000;
/// Slots in a leaf; close to the square root of the pages that two MACs with full rings use.
const LEAF: u32 = 16;
/// Runs of 1 to 16 pages have a free list each, longer ones a list per power of two.
const EXACT: u32 = 16;
const CLASSES: usize = 31;
const NONE: u32 = u32::MAX;

/// Coherent memory up to this size (128 descriptors), bytes, stands in a page of its own behind the DRAM of mappings, in as many
/// pages as two MACs have rings.
const RING_MAX: usize = 2048;
const RINGS: usize = 4;
const RING_BASE: u32 = DRAM_PAGES * PAGE;

/// A slice of a shared buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frag {
    /// The buffer.
    pub buf: Buf,
    /// Where the slice starts, bytes into the buffer.
    pub off: u32,
    /// Its length, bytes.
    pub len: u32,
}

impl Frag {
    /// A slice of a whole buffer.
    pub fn new(buf: Buf) -> Self {
        let len = buf.len() as u32;
        Self { buf, off: 0, len }
    }

    /// The bytes; none where the slice does not lie inside its buffer.
    pub fn bytes(&self) -> &[u8] {
        let start = self.off as usize;
        self.buf.get(start..start + self.len as usize).unwrap_or(&[])
    }

    /// A part of this slice, cut at this slice's end.
    pub fn slice(&self, off: u32, len: u32) -> Self {
        let off = off.min(self.len);
        Self { buf: self.buf.clone(), off: self.off + off, len: len.min(self.len - off) }
    }
}

/// A bus address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmaAddr(pub u32);

impl DmaAddr {
    /// What [`DmaMem::map`] and [`DmaMem::alloc_coherent`] return when the address space is full (`DMA_MAPPING_ERROR`).
    pub const ERROR: Self = Self(u32::MAX);

    /// The address `n` bytes on; wraps as the 32-bit bus does.
    pub fn offset(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl fmt::Display for DmaAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// An access that no mapping answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError {
    /// The first byte of the access.
    pub addr: DmaAddr,
    /// Its length, bytes.
    pub len: u32,
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no DMA mapping answers {} bytes at {}", self.len, self.addr)
    }
}

impl std::error::Error for BusError {}

#[derive(Clone, Debug)]
struct Mapping {
    buf: Buf,
    off: u32,
    len: u32,
    coherent: bool,
}

impl Mapping {
    /// Where in its first page the mapping starts: buffers start at page boundaries.
    fn skew(&self) -> u32 {
        self.off % PAGE
    }

    fn pages(&self) -> u32 {
        (self.skew() + self.len).div_ceil(PAGE).max(1)
    }
}

#[derive(Clone, Debug)]
enum Slot {
    /// Not in use; the first page of a free run links to the next run of its class.
    Free { next: u32 },
    /// The first page of a mapping.
    First(Mapping),
    /// A later page of the mapping that starts `back` pages before.
    Later { back: u32 },
}

#[derive(Clone, Debug)]
struct Table {
    leaves: Vec<Arc<Vec<Slot>>>,
    free: [u32; CLASSES],
    /// Pages handed out at least once; those above have no slot yet.
    top: u32,
    mapped: usize,
    coherent: usize,
}

impl Table {
    fn slot(&self, page: u32) -> Option<&Slot> {
        self.leaves.get((page / LEAF) as usize)?.get((page % LEAF) as usize)
    }

    fn slot_mut(&mut self, page: u32) -> Option<&mut Slot> {
        let leaf = self.leaves.get_mut((page / LEAF) as usize)?;
        Arc::make_mut(leaf).get_mut((page % LEAF) as usize)
    }

    fn set(&mut self, page: u32, slot: Slot) {
        let leaf = (page / LEAF) as usize;
        if leaf >= self.leaves.len() {
            self.leaves
                .resize_with(leaf + 1, || Arc::new(vec![Slot::Free { next: NONE }; LEAF as usize]));
        }
        if let Some(s) = self.slot_mut(page) {
            *s = slot;
        }
    }

    /// A run of pages for a mapping: the one freed last of that size, or new ones.
    fn take(&mut self, m: Mapping, pages: u32) -> Option<u32> {
        let class = class(pages);
        let head = self.free[class];
        if let Some(slot) = self.slot_mut(head)
            && let Slot::Free { next } = *slot
        {
            *slot = Slot::First(m);
            self.free[class] = next;
            return Some(head);
        }
        let run = run(pages)?;
        let first = self.top;
        self.top = first.checked_add(run).filter(|&top| top <= DRAM_PAGES)?;
        self.set(first, Slot::First(m));
        Some(first)
    }

    fn insert(&mut self, m: Mapping) -> DmaAddr {
        let (pages, skew, coherent) = (m.pages(), m.skew(), m.coherent);
        let Some(first) = self.take(m, pages) else {
            return DmaAddr::ERROR;
        };
        if coherent {
            self.coherent += 1;
        } else {
            self.mapped += 1;
        }
        for back in 1..pages {
            self.set(first + back, Slot::Later { back });
        }
        DmaAddr(DRAM_BASE + first * PAGE + skew)
    }

    /// The mapping that starts in this page.
    fn remove(&mut self, page: u32) -> Option<Mapping> {
        let single = Slot::Free { next: self.free[0] };
        let Slot::First(m) = std::mem::replace(self.slot_mut(page)?, single) else {
            return None;
        };
        let pages = m.pages();
        let class = class(pages);
        if pages > 1 {
            self.set(page, Slot::Free { next: self.free[class] });
            for back in 1..pages {
                self.set(page + back, Slot::Free { next: NONE });
            }
        }
        self.free[class] = page;
        if m.coherent {
            self.coherent -= 1;
        } else {
            self.mapped -= 1;
        }
        Some(m)
    }
}

fn class(pages: u32) -> usize {
    if pages <= EXACT {
        return pages.saturating_sub(1) as usize;
    }
    // 17..=32 pages are class 16, 33..=64 class 17 ...
    let bits = u32::BITS - (pages - 1).leading_zeros();
    (EXACT + bits - 5).min(CLASSES as u32 - 1) as usize
}

/// The pages that a run of this class takes.
fn run(pages: u32) -> Option<u32> {
    if pages <= EXACT { Some(pages) } else { pages.checked_next_power_of_two() }
}

/// The ring whose page an address is in, and the byte there.
#[inline]
fn ring_of(addr: DmaAddr) -> Option<(usize, usize)> {
    let rel = addr.0.wrapping_sub(DRAM_BASE + RING_BASE);
    let (i, at) = ((rel / PAGE) as usize, (rel % PAGE) as usize);
    (i < RINGS).then_some((i, at))
}

/// Small coherent memory.
#[derive(Clone, Debug)]
struct Ring {
    len: usize,
    bytes: Arc<[u8; RING_MAX]>,
}

/// The memory that the bus masters see. A clone costs a reference count for the table and one for each ring.
#[derive(Clone, Debug)]
pub struct DmaMem {
    rings: [Option<Ring>; RINGS],
    table: Arc<Table>,
}

impl Default for DmaMem {
    fn default() -> Self {
        Self::new()
    }
}

impl DmaMem {
    /// Memory with nothing mapped.
    pub fn new() -> Self {
        Self {
            rings: Default::default(),
            table: Arc::new(Table {
                leaves: Vec::new(),
                free: [NONE; CLASSES],
                top: 0,
                mapped: 0,
                coherent: 0,
            }),
        }
    }

    /// Memory of its own, zeroed, that driver and device both reach by address (`dma_alloc_coherent`).
    /// [`DmaAddr::ERROR`] when it does not fit.
    pub fn alloc_coherent(&mut self, bytes: usize) -> DmaAddr {
        if bytes > (DRAM_PAGES * PAGE) as usize {
            return DmaAddr::ERROR;
        }
        if (1..=RING_MAX).contains(&bytes)
            && let Some(i) = self.rings.iter().position(Option::is_none)
        {
            self.rings[i] = Some(Ring { len: bytes, bytes: Arc::new([0; RING_MAX]) });
            return DmaAddr(DRAM_BASE + RING_BASE + i as u32 * PAGE);
        }
        let buf = Buf::new(vec![0; bytes]);
        let m = Mapping { buf, off: 0, len: bytes as u32, coherent: true };
        Arc::make_mut(&mut self.table).insert(m)
    }

    /// Gives coherent memory back; an address that is none changes nothing.
    pub fn free_coherent(&mut self, addr: DmaAddr) {
        if let Some((i, 0)) = ring_of(addr) {
            self.rings[i] = None;
        } else if let Some(page) = self.start_of(addr, true) {
            Arc::make_mut(&mut self.table).remove(page);
        }
    }

    /// Hands a buffer to the device (`dma_map_single`, `dma_map_page`). The address keeps the slice's offset within
    /// its page; a slice over several pages is contiguous. [`DmaAddr::ERROR`] when the address space is full or the
    /// slice does not lie in its buffer.
    pub fn map(&mut self, f: Frag) -> DmaAddr {
        let end = u64::from(f.off) + u64::from(f.len);
        if end > f.buf.len() as u64 || end > u64::from(u32::MAX) || f.len > DRAM_PAGES * PAGE {
            return DmaAddr::ERROR;
        }
        Arc::make_mut(&mut self.table).insert(Mapping {
            buf: f.buf,
            off: f.off,
            len: f.len,
            coherent: false,
        })
    }

    /// Takes the buffer out again; `None` where no buffer is mapped at that address.
    pub fn unmap(&mut self, addr: DmaAddr) -> Option<Frag> {
        let page = self.start_of(addr, false)?;
        let m = Arc::make_mut(&mut self.table).remove(page)?;
        Some(Frag { buf: m.buf, off: m.off, len: m.len })
    }

    /// Buffers mapped and not unmapped: a run that ended cleanly has none.
    pub fn mapped(&self) -> usize {
        self.table.mapped
    }

    /// Coherent allocations that were not given back.
    pub fn coherent(&self) -> usize {
        self.table.coherent + self.rings.iter().flatten().count()
    }

    /// A little-endian word.
    pub fn read_u32(&self, addr: DmaAddr) -> Result<u32, BusError> {
        let mut w = [0; 4];
        self.read(addr, &mut w)?;
        Ok(u32::from_le_bytes(w))
    }

    /// Writes a little-endian word.
    pub fn write_u32(&mut self, addr: DmaAddr, v: u32) -> Result<(), BusError> {
        self.write(addr, &v.to_le_bytes())
    }

    /// Fills `out` from memory.
    pub fn read(&self, addr: DmaAddr, out: &mut [u8]) -> Result<(), BusError> {
        out.copy_from_slice(self.bytes(addr, out.len() as u32)?);
        Ok(())
    }

    /// Writes `data` to memory.
    pub fn write(&mut self, addr: DmaAddr, data: &[u8]) -> Result<(), BusError> {
        self.bytes_mut(addr, data.len() as u32)?.copy_from_slice(data);
        Ok(())
    }

    /// The bytes at an address, in place.
    #[inline]
    pub fn bytes(&self, addr: DmaAddr, len: u32) -> Result<&[u8], BusError> {
        match ring_of(addr) {
            Some((i, at)) => {
                self.rings[i].as_ref().and_then(|r| r.bytes[..r.len].get(at..at + len as usize))
            }
            None => self.mapped_bytes(addr, len),
        }
        .ok_or(BusError { addr, len })
    }

    /// The bytes at an address, to be written in place. A buffer that a clone of this memory or a frame still
    /// holds is copied first.
    #[inline]
    pub fn bytes_mut(&mut self, addr: DmaAddr, len: u32) -> Result<&mut [u8], BusError> {
        match ring_of(addr) {
            Some((i, at)) => self.rings[i]
                .as_mut()
                .and_then(|r| Arc::make_mut(&mut r.bytes)[..r.len].get_mut(at..at + len as usize)),
            None => self.mapped_bytes_mut(addr, len),
        }
        .ok_or(BusError { addr, len })
    }

    fn mapped_bytes(&self, addr: DmaAddr, len: u32) -> Option<&[u8]> {
        let (_, m, at) = self.find(addr, len)?;
        m.buf.get(at as usize..at as usize + len as usize)
    }

    fn mapped_bytes_mut(&mut self, addr: DmaAddr, len: u32) -> Option<&mut [u8]> {
        let (page, _, at) = self.find(addr, len)?;
        let Some(Slot::First(m)) = Arc::make_mut(&mut self.table).slot_mut(page) else {
            return None;
        };
        Buf::make_mut(&mut m.buf).get_mut(at as usize..at as usize + len as usize)
    }

    /// The slice that holds the bytes at an address: mappings are contiguous and an access stays within one. It shares the
    /// buffer, except of a ring, whose bytes are copied.
    pub fn slice(&self, addr: DmaAddr, len: u32) -> Result<Frag, BusError> {
        if ring_of(addr).is_some() {
            return Ok(Frag::new(Buf::new(self.bytes(addr, len)?.to_vec())));
        }
        let (_, m, at) = self.find(addr, len).ok_or(BusError { addr, len })?;
        Ok(Frag { buf: m.buf.clone(), off: at, len })
    }

    /// The mapping around an access: its first page, itself, and where in its buffer the access starts.
    fn find(&self, addr: DmaAddr, len: u32) -> Option<(u32, &Mapping, u32)> {
        let rel = addr.0.checked_sub(DRAM_BASE)?;
        let mut page = rel / PAGE;
        if let Slot::Later { back } = self.table.slot(page)? {
            page = page.checked_sub(*back)?;
        }
        let Slot::First(m) = self.table.slot(page)? else {
            return None;
        };
        let at = rel.checked_sub(page * PAGE + m.skew())?;
        let end = at.checked_add(len)?;
        (end <= m.len).then_some((page, m, m.off + at))
    }

    /// The first page of the mapping whose address this is.
    fn start_of(&self, addr: DmaAddr, coherent: bool) -> Option<u32> {
        let rel = addr.0.checked_sub(DRAM_BASE)?;
        match self.table.slot(rel / PAGE)? {
            Slot::First(m) if m.coherent == coherent && m.skew() == rel % PAGE => Some(rel / PAGE),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frag(len: usize, off: u32) -> Frag {
        let buf = Buf::new((0..len).map(|i| i as u8).collect());
        Frag::new(buf).slice(off, u32::MAX)
    }

    #[test]
    fn a_mapping_keeps_its_page_offset_and_gives_its_buffer_back() {
        let mut m = DmaMem::new();
        let f = frag(6000, 70);
        let a = m.map(f.clone());
        assert_eq!(a, DmaAddr(DRAM_BASE + 70));
        assert_eq!(m.bytes(a.offset(4090), 8).unwrap(), &f.bytes()[4090..4098]);
        assert_eq!(m.slice(a, 5930).unwrap(), f);
        assert_eq!(m.read_u32(a.offset(5926)).map(u32::to_le_bytes).unwrap(), f.bytes()[5926..]);
        assert_eq!(m.mapped(), 1);
        assert_eq!(m.unmap(a.offset(1)), None);
        assert_eq!(m.unmap(a), Some(f));
        assert_eq!(m.mapped(), 0);
        assert!(m.read_u32(a).is_err());
    }

    #[test]
    fn nothing_outside_a_mapping_answers() {
        let mut m = DmaMem::new();
        let a = m.alloc_coherent(64);
        assert!(m.write_u32(a.offset(60), 1).is_ok());
        for bad in [a.offset(61), a.offset(64), DmaAddr(a.0 - 1), DmaAddr(0), DmaAddr(u32::MAX)] {
            assert!(m.read_u32(bad).is_err(), "{bad}");
            assert!(m.write_u32(bad, 1).is_err(), "{bad}");
        }
        assert!(m.bytes(a, u32::MAX).is_err());
        assert_eq!(m.alloc_coherent(usize::MAX), DmaAddr::ERROR);
        assert_eq!(m.unmap(a), None, "coherent memory is not a streaming mapping");
        m.free_coherent(a);
        assert_eq!(m.coherent(), 0);
    }

    #[test]
    fn addresses_come_back_last_in_first_out() {
        let mut m = DmaMem::new();
        let a: Vec<_> = (0..40).map(|_| m.map(frag(1600, 64))).collect();
        let big = m.map(frag(40 * 4096, 0));
        m.unmap(a[3]);
        m.unmap(a[30]);
        m.unmap(big);
        assert_eq!(m.map(frag(100, 64)), a[30]);
        assert_eq!(m.map(frag(100, 0)), DmaAddr(a[3].0 - 64));
        assert_eq!(m.map(frag(50 * 4096, 0)), big, "a run of the same power of two");
    }

    #[test]
    fn a_full_address_space_is_an_error_not_a_panic() {
        let mut m = DmaMem::new();
        let f = Frag::new(Buf::new(vec![0; 256 << 20]));
        assert_ne!(m.map(f.clone()), DmaAddr::ERROR);
        assert_ne!(m.map(f.clone()), DmaAddr::ERROR);
        assert_eq!(m.map(f), DmaAddr::ERROR);
    }

    #[test]
    fn a_clone_sees_its_own_writes_only() {
        let mut m = DmaMem::new();
        let a = m.map(frag(2000, 0));
        let snapshot = m.clone();
        m.write(a, &[9; 2000]).unwrap();
        assert_eq!(snapshot.bytes(a, 3).unwrap(), [0, 1, 2]);
        assert_eq!(m.bytes(a, 3).unwrap(), [9, 9, 9]);
    }
}
