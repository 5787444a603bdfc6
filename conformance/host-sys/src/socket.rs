//! Sockets and files.

use std::ffi::CString;
use std::time::Duration;

use crate::{Errno, Result, check, count};

/// The longest socket address that the kernel takes or gives (`sockaddr_storage`).
const ADDR_MAX: usize = 128;

/// Whole numbers of C as buffer lengths.
fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).unwrap_or(libc::socklen_t::MAX)
}

/// socket(2)
///
/// # Errors
/// As the manual page says; so for every call here.
pub fn socket(family: i32, ty: i32, protocol: i32) -> Result<i32> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::socket(family, ty, protocol) })
}

/// bind(2) to the address of these bytes.
///
/// # Errors
/// As the manual page says.
pub fn bind(fd: i32, addr: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `addr.len()` bytes, byte-wise, and keeps no pointer.
    check(unsafe { libc::bind(fd, addr.as_ptr().cast(), socklen(addr.len())) }).map(|_| ())
}

/// connect(2)
///
/// # Errors
/// As the manual page says.
pub fn connect(fd: i32, addr: &[u8]) -> Result<()> {
    // SAFETY: as in `bind`.
    check(unsafe { libc::connect(fd, addr.as_ptr().cast(), socklen(addr.len())) }).map(|_| ())
}

/// listen(2)
///
/// # Errors
/// As the manual page says.
pub fn listen(fd: i32, backlog: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::listen(fd, backlog) }).map(|_| ())
}

/// Runs a call that stores an address.
fn with_addr(
    call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> i32,
) -> Result<(i32, Vec<u8>)> {
    let mut addr = [0_u8; ADDR_MAX];
    let mut len = socklen(ADDR_MAX);
    let value = check(call(addr.as_mut_ptr().cast(), &raw mut len))?;
    let kept = usize::try_from(len).unwrap_or(0).min(ADDR_MAX);
    Ok((value, addr[..kept].to_vec()))
}

/// accept4(2): the descriptor and the peer's address.
///
/// # Errors
/// As the manual page says.
pub fn accept4(fd: i32, flags: i32) -> Result<(i32, Vec<u8>)> {
    // SAFETY: `with_addr` passes a buffer and its length, which the kernel heeds.
    with_addr(|addr, len| unsafe { libc::accept4(fd, addr, len, flags) })
}

/// getsockname(2)
///
/// # Errors
/// As the manual page says.
pub fn getsockname(fd: i32) -> Result<Vec<u8>> {
    // SAFETY: as in `accept4`.
    with_addr(|addr, len| unsafe { libc::getsockname(fd, addr, len) }).map(|(_, addr)| addr)
}

/// getpeername(2)
///
/// # Errors
/// As the manual page says.
pub fn getpeername(fd: i32) -> Result<Vec<u8>> {
    // SAFETY: as in `accept4`.
    with_addr(|addr, len| unsafe { libc::getpeername(fd, addr, len) }).map(|(_, addr)| addr)
}

/// shutdown(2)
///
/// # Errors
/// As the manual page says.
pub fn shutdown(fd: i32, how: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::shutdown(fd, how) }).map(|_| ())
}

/// close(2)
///
/// # Errors
/// As the manual page says.
pub fn close(fd: i32) -> Result<()> {
    // SAFETY: takes a number only. Descriptors are not owned by anything here (see the crate's text), and callers pass
    // numbers that they got from this crate.
    check(unsafe { libc::close(fd) }).map(|_| ())
}

/// dup(2)
///
/// # Errors
/// As the manual page says.
pub fn dup(fd: i32) -> Result<i32> {
    // SAFETY: takes a number only.
    check(unsafe { libc::dup(fd) })
}

/// dup2(2) without flags, dup3(2) with.
///
/// # Errors
/// As the manual page says.
pub fn dup3(old: i32, new: i32, flags: Option<i32>) -> Result<i32> {
    check(match flags {
        // SAFETY: takes numbers only; that `new` is closed by it is what a script asks for.
        None => unsafe { libc::dup2(old, new) },
        // SAFETY: likewise.
        Some(flags) => unsafe { libc::dup3(old, new, flags) },
    })
}

/// read(2) of `len` bytes to the null pointer.
///
/// # Errors
/// As the manual page says.
pub fn read_null(fd: i32, len: usize) -> Result<usize> {
    // SAFETY: nothing is mapped at address 0 of this process; the kernel checks the pointer itself.
    count(unsafe { libc::read(fd, std::ptr::null_mut(), len) })
}

/// recvfrom(2) of `len` bytes to the null pointer.
///
/// # Errors
/// As the manual page says.
pub fn recv_null(fd: i32, len: usize, flags: i32) -> Result<usize> {
    // SAFETY: as in `read_null`.
    count(unsafe { libc::recv(fd, std::ptr::null_mut(), len, flags) })
}

/// read(2) into `buf`.
///
/// # Errors
/// As the manual page says.
pub fn read(fd: i32, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `buf.len()` bytes.
    count(unsafe { libc::read(fd, buf.as_mut_ptr().cast(), buf.len()) })
}

/// write(2)
///
/// # Errors
/// As the manual page says.
pub fn write(fd: i32, data: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads `data.len()` bytes.
    count(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })
}

/// write(2) of `len` bytes from the null pointer: what the kernel says to a bad buffer.
///
/// # Errors
/// As the manual page says.
pub fn write_null(fd: i32, len: usize) -> Result<usize> {
    // SAFETY: nothing is mapped at address 0 of this process; the kernel checks the pointer itself.
    count(unsafe { libc::write(fd, std::ptr::null(), len) })
}

/// sendto(2)
///
/// # Errors
/// As the manual page says.
pub fn sendto(fd: i32, data: &[u8], flags: i32, addr: Option<&[u8]>) -> Result<usize> {
    let (to, len) = addr.map_or((std::ptr::null(), 0), |a| (a.as_ptr(), socklen(a.len())));
    // SAFETY: the kernel reads `data.len()` bytes of data and `len` of the address. With MSG_ZEROCOPY it refers to the
    // pages later as well: they may be freed or changed then, which alters what is sent but no memory of ours.
    count(unsafe { libc::sendto(fd, data.as_ptr().cast(), data.len(), flags, to.cast(), len) })
}

/// sendto(2) of `len` bytes from the null pointer.
///
/// # Errors
/// As the manual page says.
pub fn sendto_null(fd: i32, len: usize, flags: i32, addr: Option<&[u8]>) -> Result<usize> {
    let (to, to_len) = addr.map_or((std::ptr::null(), 0), |a| (a.as_ptr(), socklen(a.len())));
    // SAFETY: as in `write_null`; the address as in `sendto`.
    count(unsafe { libc::sendto(fd, std::ptr::null(), len, flags, to.cast(), to_len) })
}

/// Words, for buffers that the C side expects aligned.
fn words(len: usize) -> Vec<u64> {
    vec![0; len.div_ceil(8)]
}

fn header(
    addr: (*mut u8, usize),
    iov: &mut [libc::iovec],
    control: (*mut u8, usize),
) -> libc::msghdr {
    // SAFETY: all zeros is a valid `msghdr`: null pointers with lengths of zero.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = addr.0.cast();
    header.msg_namelen = socklen(addr.1);
    header.msg_iov = iov.as_mut_ptr();
    header.msg_iovlen = iov.len() as _;
    header.msg_control = control.0.cast();
    header.msg_controllen = control.1 as _;
    header
}

/// A buffer that the kernel only reads.
fn piece(part: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }
}

/// `data` as the buffers of these lengths, one after another; all of it as one without any.
fn pieces(data: &[u8], lens: &[usize]) -> Vec<libc::iovec> {
    if lens.is_empty() {
        return vec![piece(data)];
    }
    let mut rest = data;
    let mut cut = |len: &usize| {
        let (part, after) = rest.split_at(rest.len().min(*len));
        rest = after;
        piece(part)
    };
    lens.iter().map(&mut cut).collect()
}

/// writev(2) of the buffers of these lengths in `data`.
///
/// # Errors
/// As the manual page says.
pub fn writev(fd: i32, data: &[u8], lens: &[usize]) -> Result<usize> {
    let list = pieces(data, lens);
    // SAFETY: the kernel reads the buffers, all of which are parts of `data`.
    count(unsafe {
        libc::writev(fd, list.as_ptr(), libc::c_int::try_from(list.len()).unwrap_or(0))
    })
}

/// sendmsg(2) of these buffers, with control messages.
///
/// # Errors
/// As the manual page says.
pub fn sendmsg(
    fd: i32,
    buffers: &[&[u8]],
    flags: i32,
    addr: Option<&[u8]>,
    control: &[Control],
) -> Result<usize> {
    let mut list: Vec<libc::iovec> = buffers.iter().map(|buffer| piece(buffer)).collect();
    let (to, len) = addr.map_or((std::ptr::null_mut(), 0), |a| (a.as_ptr().cast_mut(), a.len()));
    let bytes = control_bytes(control);
    let mut aligned = words(bytes.len());
    for (word, bytes) in aligned.iter_mut().zip(bytes.chunks(8)) {
        let mut full = [0; 8];
        full[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(full);
    }
    let control = match bytes.len() {
        0 => (std::ptr::null_mut(), 0),
        len => (aligned.as_mut_ptr().cast(), len),
    };
    let header = header((to, len), &mut list, control);
    // SAFETY: the header's pointers come with their lengths and live until the call returns; sendmsg only reads them.
    count(unsafe { libc::sendmsg(fd, &raw const header, flags) })
}

/// What recvmsg(2) gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The call's value: bytes received, or with MSG_TRUNC those that there were.
    pub len: usize,
    /// The sender's address.
    pub addr: Vec<u8>,
    /// Control messages as the kernel writes them.
    pub control: Vec<u8>,
    /// `msg_flags`
    pub flags: i32,
}

/// recvmsg(2) into one buffer, with room for `control` bytes of control messages.
///
/// # Errors
/// As the manual page says.
pub fn recvmsg(fd: i32, buf: &mut [u8], control: usize, flags: i32) -> Result<Received> {
    let mut iov = [libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() }];
    let mut addr = [0_u8; ADDR_MAX];
    let mut room = words(control);
    let mut header =
        header((addr.as_mut_ptr(), ADDR_MAX), &mut iov, (room.as_mut_ptr().cast(), control));
    // SAFETY: the header's pointers come with the lengths of what they point to, all of it writable and alive.
    let len = count(unsafe { libc::recvmsg(fd, &raw mut header, flags) })?;
    let addr_len = (header.msg_namelen as usize).min(ADDR_MAX);
    #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
    let control_len = (header.msg_controllen as usize).min(control);
    let bytes: Vec<u8> =
        room.iter().flat_map(|word| word.to_ne_bytes()).take(control_len).collect();
    Ok(Received { len, addr: addr[..addr_len].to_vec(), control: bytes, flags: header.msg_flags })
}

/// A control message: level, type and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `cmsg_level`
    pub level: i32,
    /// `cmsg_type`
    pub ty: i32,
    /// What it carries.
    pub data: Vec<u8>,
}

/// Control messages as the kernel reads them.
fn control_bytes(messages: &[Control]) -> Vec<u8> {
    let word = size_of::<usize>();
    let mut out = Vec::new();
    for Control { level, ty, data } in messages {
        out.extend((word + 8 + data.len()).to_ne_bytes());
        out.extend(level.to_ne_bytes());
        out.extend(ty.to_ne_bytes());
        out.extend(data);
        out.resize(out.len().next_multiple_of(word), 0);
    }
    out
}

/// Takes control messages apart. Each is `len: usize`, `level: i32`, `type: i32`, data, and padding to words.
pub fn control_messages(mut bytes: &[u8]) -> Vec<Control> {
    const HEAD: usize = size_of::<usize>() + 8;
    let word = size_of::<usize>();
    let mut out = Vec::new();
    while let Some((head, _)) = bytes.split_at_checked(HEAD) {
        let mut len = [0; size_of::<usize>()];
        len.copy_from_slice(&head[..word]);
        let number = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&head[at..at + 4]);
            i32::from_ne_bytes(four)
        };
        let len = usize::from_ne_bytes(len);
        let Some(data) = bytes.get(HEAD..len) else { break };
        out.push(Control { level: number(word), ty: number(word + 4), data: data.to_vec() });
        let next = len.next_multiple_of(word).min(bytes.len());
        bytes = &bytes[next..];
    }
    out
}

/// setsockopt(2)
///
/// # Errors
/// As the manual page says.
pub fn setsockopt(fd: i32, level: i32, name: i32, value: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads at most `value.len()` bytes. Options that carry pointers (filters) are not for scripts:
    // a wild pointer in the bytes makes the kernel return EFAULT or read memory of this process, it never writes there.
    check(unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), socklen(value.len())) })
        .map(|_| ())
}

/// getsockopt(2) with a buffer of `len` bytes: as much of it as the kernel filled.
///
/// # Errors
/// As the manual page says.
pub fn getsockopt(fd: i32, level: i32, name: i32, len: usize) -> Result<Vec<u8>> {
    let mut value = vec![0_u8; len];
    let mut got = socklen(len);
    // SAFETY: the kernel writes at most `len` bytes, as the length says.
    check(unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut got) })?;
    value.truncate(got as usize);
    Ok(value)
}

/// fcntl(2) of the commands whose argument is a number.
///
/// # Errors
/// EINVAL for other commands; else as the manual page says.
pub fn fcntl(fd: i32, cmd: i32, arg: i32) -> Result<i32> {
    const NUMBERS: &[i32] = &[
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
    ];
    if !NUMBERS.contains(&cmd) {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: none of these commands takes a pointer.
    check(unsafe { libc::fcntl(fd, cmd, arg) })
}

/// ioctl(2) whose argument is a buffer of up to 256 bytes, which the kernel may read and change.
///
/// # Errors
/// EINVAL for a request whose own size is larger than the buffer; else as the manual page says.
pub fn ioctl(fd: i32, request: u32, arg: &mut [u8]) -> Result<i32> {
    const ROOM: usize = 256;
    let mut room = [0_u8; ROOM];
    // Bits 16 to 29 of a modern request hold the size of its argument; requests without one are ints and `ifreq`s.
    let size = (request >> 16 & 0x3fff) as usize;
    if arg.len() > ROOM || size > ROOM {
        return Err(Errno(libc::EINVAL));
    }
    room[..arg.len()].copy_from_slice(arg);
    // SAFETY: the argument points to 256 bytes, more than any request takes that scripts and the set-up of a TUN device
    // use: its own size says so where it has one, and old-style requests of sockets take an int or 40 bytes.
    let value = check(unsafe { libc::ioctl(fd, libc::c_ulong::from(request), room.as_mut_ptr()) })?;
    arg.copy_from_slice(&room[..arg.len()]);
    Ok(value)
}

/// ioctl(2) whose argument is a number.
///
/// # Errors
/// As the manual page says.
pub fn ioctl_number(fd: i32, request: u32, arg: u64) -> Result<i32> {
    // SAFETY: if the request takes a pointer after all, the kernel checks it and says EFAULT; callers pass small
    // numbers, which are no addresses of this process.
    check(unsafe { libc::ioctl(fd, libc::c_ulong::from(request), arg) })
}

/// One entry of poll(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollFd {
    /// Descriptor; negative ones are ignored.
    pub fd: i32,
    /// `POLL*` asked for.
    pub events: i16,
    /// `POLL*` that hold.
    pub revents: i16,
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// ppoll(2); `timeout` `None`: for ever.
///
/// # Errors
/// As the manual page says.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<i32> {
    let mut list: Vec<libc::pollfd> =
        fds.iter().map(|f| libc::pollfd { fd: f.fd, events: f.events, revents: 0 }).collect();
    let time = timeout.map(timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the list has as many entries as said; the time is null or lives until the call returns.
    let value = check(unsafe {
        libc::ppoll(list.as_mut_ptr(), list.len() as libc::nfds_t, time, std::ptr::null())
    })?;
    for (entry, got) in fds.iter_mut().zip(&list) {
        entry.revents = got.revents;
    }
    Ok(value)
}

/// epoll_create1(2)
///
/// # Errors
/// As the manual page says.
pub fn epoll_create1(flags: i32) -> Result<i32> {
    // SAFETY: takes a number only.
    check(unsafe { libc::epoll_create1(flags) })
}

/// epoll_ctl(2)
///
/// # Errors
/// As the manual page says.
pub fn epoll_ctl(epfd: i32, op: i32, fd: i32, events: u32, data: u64) -> Result<()> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the event lives until the call returns.
    check(unsafe { libc::epoll_ctl(epfd, op, fd, &raw mut event) }).map(|_| ())
}

/// epoll_wait(2) for up to `max` events, each as events and data.
///
/// # Errors
/// As the manual page says.
pub fn epoll_wait(epfd: i32, max: usize, timeout_ms: i32) -> Result<Vec<(u32, u64)>> {
    let mut list = vec![libc::epoll_event { events: 0, u64: 0 }; max.min(4096)];
    let len = i32::try_from(list.len()).unwrap_or(0);
    // SAFETY: the list has room for as many events as said.
    let got = check(unsafe { libc::epoll_wait(epfd, list.as_mut_ptr(), len, timeout_ms) })?;
    list.truncate(usize::try_from(got).unwrap_or(0));
    Ok(list.iter().map(|e| (e.events, e.u64)).collect())
}

/// epoll_ctl(2) with a null event.
///
/// # Errors
/// As the manual page says.
pub fn epoll_ctl_null(epfd: i32, op: i32, fd: i32) -> Result<()> {
    // SAFETY: a null event is allowed; the kernel says EFAULT where it wants one.
    check(unsafe { libc::epoll_ctl(epfd, op, fd, std::ptr::null_mut()) }).map(|_| ())
}

/// `EFD_NONBLOCK | EFD_CLOEXEC`
pub const EVENT_FLAGS: i32 = libc::EFD_NONBLOCK | libc::EFD_CLOEXEC;

/// eventfd(2)
///
/// # Errors
/// As the manual page says.
pub fn eventfd(initval: u32, flags: i32) -> Result<i32> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::eventfd(initval, flags) })
}

/// pipe2(2): the read end and the write end.
///
/// # Errors
/// As the manual page says.
pub fn pipe2(flags: i32) -> Result<(i32, i32)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel stores two ints.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    Ok((ends[0], ends[1]))
}

/// An offset as the kernel takes it: null, or a place where it stores the new one.
fn place(offset: &mut Option<i64>) -> *mut i64 {
    offset.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut)
}

/// splice(2); offsets are `None` where the pointer is null.
///
/// # Errors
/// As the manual page says.
pub fn splice(
    from: (i32, Option<i64>),
    to: (i32, Option<i64>),
    len: usize,
    flags: u32,
) -> Result<usize> {
    let ((from, mut off_from), (to, mut off_to)) = (from, to);
    // SAFETY: the offsets are null or live until the call returns.
    count(unsafe { libc::splice(from, place(&mut off_from), to, place(&mut off_to), len, flags) })
}

/// tee(2)
///
/// # Errors
/// As the manual page says.
pub fn tee(from: i32, to: i32, len: usize, flags: u32) -> Result<usize> {
    // SAFETY: takes numbers only.
    count(unsafe { libc::tee(from, to, len, flags) })
}

/// sendfile(2); the offset is `None` where the pointer is null.
///
/// # Errors
/// As the manual page says.
pub fn sendfile(to: i32, from: i32, mut offset: Option<i64>, len: usize) -> Result<usize> {
    // SAFETY: the offset is null or lives until the call returns.
    count(unsafe { libc::sendfile(to, from, place(&mut offset), len) })
}

/// The bits of select(2) for these descriptors.
fn set_of(fds: &[i32]) -> Result<libc::fd_set> {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
    for &fd in fds {
        let room = usize::try_from(fd).is_ok_and(|fd| fd < libc::FD_SETSIZE);
        if !room {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the descriptor's bit is inside the set, as was just checked.
        unsafe { libc::FD_SET(fd, &raw mut set) };
    }
    Ok(set)
}

/// select(2) over lists of descriptors: how many are ready, and which of each list.
///
/// # Errors
/// EINVAL for a descriptor that no set can hold; else as the manual page says.
pub fn select(
    nfds: i32,
    lists: [&[i32]; 3],
    timeout: Option<Duration>,
) -> Result<(i32, [Vec<i32>; 3])> {
    let mut sets = [set_of(lists[0])?, set_of(lists[1])?, set_of(lists[2])?];
    let time = timeout.map(timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let [read, write, except] = &mut sets;
    // SAFETY: three sets of their full size, and a time that is null or lives until the call returns. The kernel takes
    // no more descriptors than a set holds.
    let ready = check(unsafe {
        libc::pselect(
            nfds.min(i32::try_from(libc::FD_SETSIZE).unwrap_or(i32::MAX)),
            read,
            write,
            except,
            time,
            std::ptr::null(),
        )
    })?;
    let left = |list: &[i32], set: &libc::fd_set| -> Vec<i32> {
        // SAFETY: `set_of` has checked that each is inside the set.
        list.iter().copied().filter(|&fd| unsafe { libc::FD_ISSET(fd, set) }).collect()
    };
    Ok((ready, [left(lists[0], read), left(lists[1], write), left(lists[2], except)]))
}

/// open(2)
///
/// # Errors
/// EINVAL for a path with a zero byte; else as the manual page says.
pub fn open(path: &str, flags: i32, mode: u32) -> Result<i32> {
    let path = CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the path is a C string that lives until the call returns.
    check(unsafe { libc::open(path.as_ptr(), flags, mode) })
}

/// if_nametoindex(3)
///
/// # Errors
/// ENODEV if there is no such interface in the caller's namespace.
pub fn if_index(name: &str) -> Result<u32> {
    let name = CString::new(name).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the name is a C string that lives until the call returns.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(Errno(libc::ENODEV)),
        index => Ok(index),
    }
}
