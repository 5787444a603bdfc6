//! epoll (Linux `fs/eventpoll.c`, 5.15).
//!
//! An instance is a set of watched descriptors and a list of those on which something happened.
//! Wake-ups put items on the list; whether an event holds is asked when it is fetched, so a
//! level-triggered item stays on the list until it is found to be quiet.

use super::file::{FileId, FileKind, FilesId, Fs};
use super::select::vfs_poll;
use super::wait::{WaitKey, Wake, Wakes};
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::syscalls::{EpollEvent, Fd};
use crate::uapi::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE,
    EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLWAKEUP, O_RDWR, POLLIN, POLLRDNORM,
};
use std::collections::{BTreeMap, VecDeque};

/// An instance's number in the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EpollId(pub(super) u32);

/// `struct epoll_filefd`: what is watched.
type FileFd = (FileId, Fd);

/// `EP_PRIVATE_BITS`: how an item is watched, not what for.
const EP_PRIVATE_BITS: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
/// `EPOLLEXCLUSIVE_OK_BITS`: what may stand beside EPOLLEXCLUSIVE.
const EPOLLEXCLUSIVE_OK_BITS: u32 =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/// `EP_MAX_NESTS`: how deep instances may watch each other.
const EP_MAX_NESTS: u32 = 4;
/// `EP_MAX_EVENTS`: `INT_MAX / sizeof(struct epoll_event)`, which is packed on x86_64.
const EP_MAX_EVENTS: i32 = i32::MAX / 12;

/// `struct epitem`.
#[derive(Clone, Debug)]
struct Epitem {
    event: EpollEvent,
    /// It is on the ready list.
    ready: bool,
}

/// `struct eventpoll`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eventpoll {
    items: BTreeMap<FileFd, Epitem>,
    /// `rdllist`.
    ready: VecDeque<FileFd>,
}

impl Eventpoll {
    fn make_ready(&mut self, at: FileFd) -> bool {
        match self.items.get_mut(&at) {
            Some(item) if !item.ready => {
                item.ready = true;
                self.ready.push_back(at);
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, at: FileFd) -> bool {
        self.ready.retain(|&r| r != at);
        self.items.remove(&at).is_some()
    }
}

/// What is watched on each wait queue: by which instances, as which item.
pub(crate) type Watches = BTreeMap<WaitKey, Vec<(EpollId, FileFd)>>;

impl Fs {
    /// A new instance's file (`do_epoll_create`).
    ///
    /// # Errors
    /// EINVAL for unknown flags.
    pub(crate) fn do_epoll_create(&mut self, flags: i32) -> Result<FileId, Errno> {
        if flags & !EPOLL_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let id = EpollId(self.epolls.insert(Eventpoll::default()));
        Ok(self.new_file(FileKind::Epoll(id), O_RDWR))
    }

    /// A watched file is closed for good: it is watched no more (`eventpoll_release_file`).
    pub(super) fn eventpoll_release_file(&mut self, file: FileId) {
        if self.watches.is_empty() {
            return;
        }
        for ep in self.epolls.iter_mut() {
            let gone: Vec<FileFd> =
                ep.items.range((file, Fd::MIN)..=(file, Fd::MAX)).map(|(at, _)| *at).collect();
            for at in gone {
                ep.remove(at);
            }
        }
        self.watches.retain(|_, list| {
            list.retain(|(_, at)| at.0 != file);
            !list.is_empty()
        });
    }

    /// An instance's last descriptor is closed (`ep_free`).
    pub(super) fn ep_free(&mut self, id: EpollId) {
        self.epolls.remove(id.0);
        self.watches.retain(|_, list| {
            list.retain(|(ep, _)| *ep != id);
            !list.is_empty()
        });
    }

    /// A wake-up reached a queue that instances watch (`ep_poll_callback`); what it wakes in turn
    /// is appended to `wakes`.
    pub(crate) fn ep_poll_callback(&mut self, (queue, key): Wake, wakes: &mut Wakes) {
        let Some(list) = self.watches.get(&queue) else { return };
        for &(id, at) in list {
            let Some(ep) = self.epolls.get_mut(id.0) else { continue };
            let Some(item) = ep.items.get(&at) else { continue };
            let events = item.event.events;
            // A one-shot item that has fired wants nothing, and others only what they asked for.
            if events & !EP_PRIVATE_BITS == 0 || (key != 0 && u32::from(key as u16) & events == 0) {
                continue;
            }
            ep.make_ready(at);
            wakes.push((WaitKey::Epoll(id), POLLIN | POLLRDNORM));
        }
    }

    fn epoll_of(&self, file: FileId) -> Option<EpollId> {
        match self.file(file)?.kind {
            FileKind::Epoll(id) => Some(id),
            _ => None,
        }
    }

    /// Whether an instance is reachable from a file through watched instances, or they would be
    /// nested too deep (`ep_loop_check_proc`).
    fn reaches(&self, file: FileId, target: EpollId, depth: u32) -> bool {
        let Some(id) = self.epoll_of(file) else { return false };
        if id == target || depth > EP_MAX_NESTS {
            return true;
        }
        let watched = self.epolls.get(id.0).into_iter().flat_map(|ep| ep.items.keys());
        watched.map(|at| at.0).any(|inner| self.reaches(inner, target, depth + 1))
    }
}

/// epoll_ctl(2) (`do_epoll_ctl`).
///
/// # Errors
/// EFAULT, EBADF, EPERM for files that have no poll, EINVAL, EEXIST, ENOENT, ELOOP.
pub(crate) fn do_epoll_ctl(
    k: &mut Kernel,
    files: FilesId,
    epfd: Fd,
    op: i32,
    fd: Fd,
    event: Option<EpollEvent>,
) -> Result<(), Errno> {
    let event = match (op, event) {
        (EPOLL_CTL_DEL, _) => EpollEvent { events: 0, data: 0 },
        (_, None) => return Err(Errno::EFAULT),
        (_, Some(event)) => event,
    };
    let ep_file = k.fs.fdget(files, epfd)?;
    let file = k.fs.fdget(files, fd)?;
    let kind = k.fs.file(file).map(|f| f.kind).ok_or(Errno::EBADF)?;
    let queue = WaitKey::of(&kind).ok_or(Errno::EPERM)?;
    let id = k.fs.epoll_of(ep_file).filter(|_| file != ep_file).ok_or(Errno::EINVAL)?;
    let nested = matches!(kind, FileKind::Epoll(_));
    if op != EPOLL_CTL_DEL && event.events & EPOLLEXCLUSIVE != 0 {
        let odd = nested || event.events & !EPOLLEXCLUSIVE_OK_BITS != 0;
        if op == EPOLL_CTL_MOD || (op == EPOLL_CTL_ADD && odd) {
            return Err(Errno::EINVAL);
        }
    }
    if op == EPOLL_CTL_ADD && nested && k.fs.reaches(file, id, 0) {
        return Err(Errno::ELOOP);
    }
    let at = (file, fd);
    let ep = k.fs.epolls.get_mut(id.0).ok_or(Errno::EBADF)?;
    let old = ep.items.get(&at).map(|item| item.event.events);
    match (op, old) {
        (EPOLL_CTL_ADD, Some(_)) => Err(Errno::EEXIST),
        (EPOLL_CTL_ADD, None) => {
            ep.items.insert(at, Epitem { event: watched(event), ready: false });
            k.fs.watches.entry(queue).or_default().push((id, at));
            ep_arm(k, id, at);
            Ok(())
        }
        (EPOLL_CTL_DEL | EPOLL_CTL_MOD, None) => Err(Errno::ENOENT),
        (EPOLL_CTL_DEL, Some(_)) => {
            ep.remove(at);
            if let Some(list) = k.fs.watches.get_mut(&queue) {
                list.retain(|w| *w != (id, at));
            }
            Ok(())
        }
        (EPOLL_CTL_MOD, Some(old)) if old & EPOLLEXCLUSIVE != 0 => Err(Errno::EINVAL),
        (EPOLL_CTL_MOD, Some(_)) => {
            if let Some(item) = ep.items.get_mut(&at) {
                item.event = watched(event);
            }
            ep_arm(k, id, at);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Errors and hang-ups are always watched for.
fn watched(event: EpollEvent) -> EpollEvent {
    EpollEvent { events: event.events | EPOLLERR | EPOLLHUP, ..event }
}

/// A new or changed item is ready at once if its events hold (`ep_insert`, `ep_modify`).
fn ep_arm(k: &mut Kernel, id: EpollId, at: FileFd) {
    if ep_item_poll(k, id, at) == 0 {
        return;
    }
    if k.fs.epolls.get_mut(id.0).is_some_and(|ep| ep.make_ready(at)) {
        k.fs.wake(WaitKey::Epoll(id), POLLIN | POLLRDNORM);
    }
}

/// Which of the events that an item asks for hold now.
fn ep_item_poll(k: &mut Kernel, id: EpollId, at: FileFd) -> u32 {
    let mask = vfs_poll(k, at.0);
    let item = k.fs.epolls.get(id.0).and_then(|ep| ep.items.get(&at));
    item.map_or(0, |item| u32::from(mask as u16) & item.event.events)
}

/// Checks the arguments of epoll_wait(2) (`do_epoll_wait`).
///
/// # Errors
/// EINVAL, EBADF.
pub(crate) fn epoll_wait_file(
    k: &Kernel,
    files: FilesId,
    epfd: Fd,
    maxevents: i32,
) -> Result<FileId, Errno> {
    if !(1..=EP_MAX_EVENTS).contains(&maxevents) {
        return Err(Errno::EINVAL);
    }
    let file = k.fs.fdget(files, epfd)?;
    k.fs.epoll_of(file).map(|_| file).ok_or(Errno::EINVAL)
}

/// Fetches up to `maxevents` events (`ep_send_events`).
pub(crate) fn ep_send_events(k: &mut Kernel, file: FileId, maxevents: usize) -> Vec<EpollEvent> {
    let mut found = Vec::new();
    let Some(id) = k.fs.epoll_of(file) else { return found };
    let Some(ep) = k.fs.epolls.get_mut(id.0) else { return found };
    let mut list = std::mem::take(&mut ep.ready);
    let mut again = Vec::new();
    while found.len() < maxevents
        && let Some(at) = list.pop_front()
    {
        let revents = ep_item_poll(k, id, at);
        let item = k.fs.epolls.get_mut(id.0).and_then(|ep| ep.items.get_mut(&at));
        let Some(item) = item else { continue };
        item.ready = false;
        if revents == 0 {
            continue;
        }
        found.push(EpollEvent { events: revents, data: item.event.data });
        if item.event.events & EPOLLONESHOT != 0 {
            item.event.events &= EP_PRIVATE_BITS;
        } else if item.event.events & EPOLLET == 0 {
            item.ready = true;
            again.push(at);
        }
    }
    if let Some(ep) = k.fs.epolls.get_mut(id.0) {
        // What was not looked at comes first the next time.
        list.extend(again);
        list.append(&mut ep.ready);
        ep.ready = list;
    }
    found
}

/// Whether an instance has events, for a poll of itself (`ep_eventpoll_poll`); items that are
/// found quiet leave the ready list.
pub(super) fn ep_eventpoll_poll(k: &mut Kernel, id: EpollId) -> i16 {
    loop {
        let first = k.fs.epolls.get(id.0).and_then(|ep| ep.ready.front().copied());
        let Some(at) = first else { return 0 };
        if ep_item_poll(k, id, at) != 0 {
            return POLLIN | POLLRDNORM;
        }
        if let Some(ep) = k.fs.epolls.get_mut(id.0) {
            ep.ready.pop_front();
            if let Some(item) = ep.items.get_mut(&at) {
                item.ready = false;
            }
        }
    }
}
