//! Under which address clients reach the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::options::Options;

/// The host to write into URLs: `--external-hostname`, else the bind address if it is a specific one, else the address
/// of the default interface, else loopback.
pub(crate) fn external_host(options: &Options) -> String {
    if let Some(host) = &options.external_hostname {
        return host.clone();
    }
    let ip = if options.bind_address.is_unspecified() {
        default_interface(options.bind_address)
    } else {
        options.bind_address
    };
    ip.to_string()
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{host}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

/// The address from which this machine would reach others. Connecting a UDP socket looks the route up and sends
/// nothing; the target is an address reserved for documentation.
fn default_interface(family: IpAddr) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let local = |bind: SocketAddr, target: SocketAddr| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    };
    let v4 = local((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into());
    if family.is_ipv6() {
        let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        return local((Ipv6Addr::UNSPECIFIED, 0).into(), (documentation, 9).into()).or(v4).unwrap_or(loopback);
    }
    v4.unwrap_or(loopback)
}
