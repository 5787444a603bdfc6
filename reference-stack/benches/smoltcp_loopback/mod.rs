//! The peer that bulk transfer is measured beside: two sockets of one smoltcp interface, whose
//! packets of at most 1500 bytes come back to it.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

const BUFFER: usize = 64 * 1024;
const PORT: u16 = 1234;

/// Packets on their way back.
struct Cable {
    packets: VecDeque<Vec<u8>>,
    checksums: bool,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Cable {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.packets.pop_front()?;
        Some((Received(packet), Sending(&mut self.packets)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.packets))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        if !self.checksums {
            capabilities.checksum = ChecksumCapabilities::ignored();
        }
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

/// A connection from the interface to itself.
pub(crate) struct Loopback {
    cable: Cable,
    iface: Interface,
    sockets: SocketSet<'static>,
    client: SocketHandle,
    server: SocketHandle,
    read: Vec<u8>,
    now: Instant,
}

impl Loopback {
    pub(crate) fn connected(checksums: bool) -> Self {
        let mut cable = Cable { packets: VecDeque::new(), checksums };
        let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut cable, Instant::ZERO);
        let own = IpAddress::v4(127, 0, 0, 1);
        iface.update_ip_addrs(|addrs| addrs.push(IpCidr::new(own, 8)).expect("room for one"));
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let server = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let client = sockets.add(tcp::Socket::new(buffer(), buffer()));
        sockets.get_mut::<tcp::Socket<'_>>(server).listen(PORT).expect("a fresh socket");
        sockets
            .get_mut::<tcp::Socket<'_>>(client)
            .connect(iface.context(), (own, PORT), 50_000)
            .expect("a fresh socket");
        let read = vec![0; BUFFER];
        let mut it = Self { cable, iface, sockets, client, server, read, now: Instant::ZERO };
        while !it.sockets.get::<tcp::Socket<'_>>(client).may_send() {
            it.poll();
        }
        it
    }

    fn poll(&mut self) {
        self.now += smoltcp::time::Duration::from_micros(10);
        self.iface.poll(self.now, &mut self.cable, &mut self.sockets);
    }

    /// Carries `data` from one socket to the other, which reads it.
    pub(crate) fn carry(&mut self, data: &[u8]) {
        let (mut sent, mut got) = (0, 0);
        while got < data.len() {
            let client = self.sockets.get_mut::<tcp::Socket<'_>>(self.client);
            sent += client.send_slice(&data[sent..]).expect("the connection stands");
            self.poll();
            let server = self.sockets.get_mut::<tcp::Socket<'_>>(self.server);
            if server.can_recv() {
                got += server.recv_slice(&mut self.read).expect("the connection stands");
            }
        }
    }
}
