//! The SNMP and Linux counters (`/proc/net/snmp`, `/proc/net/netstat`), under their names there.

macro_rules! mib {
    ($($(#[$doc:meta])* $group:ident $prefix:literal { $($name:ident),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            #[repr(u16)]
            #[allow(missing_docs, clippy::upper_case_acronyms, reason = "the names of /proc/net/snmp and netstat")]
            pub enum $group { $($name),* }

            impl $group {
                /// Every counter's name, in the order of the /proc file.
                pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
                /// The line's prefix.
                pub const PREFIX: &'static str = $prefix;
            }
        )*
    };
}

mib! {
    /// `Ip:` of /proc/net/snmp (Forwarding and DefaultTTL are sysctls).
    Ip "Ip" {
        InReceives, InHdrErrors, InAddrErrors, ForwDatagrams, InUnknownProtos, InDiscards,
        InDelivers, OutRequests, OutDiscards, OutNoRoutes, ReasmTimeout, ReasmReqds, ReasmOKs,
        ReasmFails, FragOKs, FragFails, FragCreates,
    }
    /// `Icmp:` of /proc/net/snmp.
    Icmp "Icmp" {
        InMsgs, InErrors, InCsumErrors, InDestUnreachs, InTimeExcds, InParmProbs, InSrcQuenchs,
        InRedirects, InEchos, InEchoReps, InTimestamps, InTimestampReps, InAddrMasks,
        InAddrMaskReps, OutMsgs, OutErrors, OutRateLimitGlobal, OutRateLimitHost, OutDestUnreachs,
        OutTimeExcds, OutParmProbs, OutSrcQuenchs, OutRedirects, OutEchos, OutEchoReps,
        OutTimestamps, OutTimestampReps, OutAddrMasks, OutAddrMaskReps,
    }
    /// `Tcp:` of /proc/net/snmp (RtoAlgorithm, RtoMin, RtoMax, MaxConn are constants).
    Tcp "Tcp" {
        ActiveOpens, PassiveOpens, AttemptFails, EstabResets, CurrEstab, InSegs, OutSegs,
        RetransSegs, InErrs, OutRsts, InCsumErrors,
    }
    /// `Udp:` of /proc/net/snmp.
    Udp "Udp" {
        InDatagrams, NoPorts, InErrors, OutDatagrams, RcvbufErrors, SndbufErrors, InCsumErrors,
        IgnoredMulti, MemErrors,
    }
    /// `Ip6*` of /proc/net/snmp6.
    Ip6 "Ip6" {
        InReceives, InHdrErrors, InTooBigErrors, InNoRoutes, InAddrErrors, InUnknownProtos,
        InTruncatedPkts, InDiscards, InDelivers, OutForwDatagrams, OutRequests, OutDiscards,
        OutNoRoutes, ReasmTimeout, ReasmReqds, ReasmOKs, ReasmFails, FragOKs, FragFails,
        FragCreates, InMcastPkts, OutMcastPkts, InOctets, OutOctets, InMcastOctets,
        OutMcastOctets, InBcastOctets, OutBcastOctets, InNoECTPkts, InECT1Pkts, InECT0Pkts,
        InCEPkts,
    }
    /// `Icmp6*` of /proc/net/snmp6.
    Icmp6 "Icmp6" {
        InMsgs, InErrors, OutMsgs, OutErrors, InCsumErrors, OutRateLimitHost, InDestUnreachs,
        InPktTooBigs, InTimeExcds, InParmProblems, InEchos, InEchoReplies,
        InGroupMembQueries, InGroupMembResponses, InGroupMembReductions, InRouterSolicits,
        InRouterAdvertisements, InNeighborSolicits, InNeighborAdvertisements, InRedirects,
        InMLDv2Reports, OutDestUnreachs, OutPktTooBigs, OutTimeExcds, OutParmProblems, OutEchos,
        OutEchoReplies, OutGroupMembQueries, OutGroupMembResponses, OutGroupMembReductions,
        OutRouterSolicits, OutRouterAdvertisements, OutNeighborSolicits,
        OutNeighborAdvertisements, OutRedirects, OutMLDv2Reports,
    }
    /// `Udp6*` of /proc/net/snmp6.
    Udp6 "Udp6" {
        InDatagrams, NoPorts, InErrors, OutDatagrams, RcvbufErrors, SndbufErrors, InCsumErrors,
        IgnoredMulti, MemErrors,
    }
    /// `IpExt:` of /proc/net/netstat.
    IpExt "IpExt" {
        InNoRoutes, InTruncatedPkts, InMcastPkts, OutMcastPkts, InBcastPkts, OutBcastPkts,
        InOctets, OutOctets, InMcastOctets, OutMcastOctets, InBcastOctets, OutBcastOctets,
        InCsumErrors, InNoECTPkts, InECT1Pkts, InECT0Pkts, InCEPkts, ReasmOverlaps,
    }
    /// `TcpExt:` of /proc/net/netstat (`LINUX_MIB_*`).
    TcpExt "TcpExt" {
        SyncookiesSent, SyncookiesRecv, SyncookiesFailed, EmbryonicRsts, PruneCalled, RcvPruned,
        OfoPruned, OutOfWindowIcmps, LockDroppedIcmps, ArpFilter, TW, TWRecycled, TWKilled,
        PAWSActive, PAWSEstab, DelayedACKs, DelayedACKLocked, DelayedACKLost, ListenOverflows,
        ListenDrops, TCPHPHits, TCPPureAcks, TCPHPAcks, TCPRenoRecovery, TCPSackRecovery,
        TCPSACKReneging, TCPSACKReorder, TCPRenoReorder, TCPTSReorder, TCPFullUndo,
        TCPPartialUndo, TCPDSACKUndo, TCPLossUndo, TCPLostRetransmit, TCPRenoFailures,
        TCPSackFailures, TCPLossFailures, TCPFastRetrans, TCPSlowStartRetrans, TCPTimeouts,
        TCPLossProbes, TCPLossProbeRecovery, TCPRenoRecoveryFail, TCPSackRecoveryFail,
        TCPRcvCollapsed, TCPBacklogCoalesce, TCPDSACKOldSent, TCPDSACKOfoSent, TCPDSACKRecv,
        TCPDSACKOfoRecv, TCPAbortOnData, TCPAbortOnClose, TCPAbortOnMemory, TCPAbortOnTimeout,
        TCPAbortOnLinger, TCPAbortFailed, TCPMemoryPressures, TCPMemoryPressuresChrono,
        TCPSACKDiscard, TCPDSACKIgnoredOld, TCPDSACKIgnoredNoUndo, TCPSpuriousRTOs,
        TCPMD5NotFound, TCPMD5Unexpected, TCPMD5Failure, TCPSackShifted, TCPSackMerged,
        TCPSackShiftFallback, TCPBacklogDrop, PFMemallocDrop, TCPMinTTLDrop, TCPDeferAcceptDrop,
        IPReversePathFilter, TCPTimeWaitOverflow, TCPReqQFullDoCookies, TCPReqQFullDrop,
        TCPRetransFail, TCPRcvCoalesce, TCPOFOQueue, TCPOFODrop, TCPOFOMerge, TCPChallengeACK,
        TCPSYNChallenge, TCPFastOpenActive, TCPFastOpenActiveFail, TCPFastOpenPassive,
        TCPFastOpenPassiveFail, TCPFastOpenListenOverflow, TCPFastOpenCookieReqd,
        TCPFastOpenBlackhole, TCPSpuriousRtxHostQueues, BusyPollRxPackets, TCPAutoCorking,
        TCPFromZeroWindowAdv, TCPToZeroWindowAdv, TCPWantZeroWindowAdv, TCPSynRetrans,
        TCPOrigDataSent, TCPHystartTrainDetect, TCPHystartTrainCwnd, TCPHystartDelayDetect,
        TCPHystartDelayCwnd, TCPACKSkippedSynRecv, TCPACKSkippedPAWS, TCPACKSkippedSeq,
        TCPACKSkippedFinWait2, TCPACKSkippedTimeWait, TCPACKSkippedChallenge, TCPWinProbe,
        TCPKeepAlive, TCPMTUPFail, TCPMTUPSuccess, TCPDelivered, TCPDeliveredCE, TCPAckCompressed,
        TCPZeroWindowDrop, TCPRcvQDrop, TCPWqueueTooBig, TCPFastOpenPassiveAltKey,
        TcpTimeoutRehash, TcpDuplicateDataRehash, TCPDSACKRecvSegs, TCPDSACKIgnoredDubious,
        TCPMigrateReqSuccess, TCPMigrateReqFailure,
    }
}

/// All counters of a machine.
#[derive(Clone, Debug)]
pub struct Mib {
    pub(crate) ip: [u64; Ip::NAMES.len()],
    pub(crate) icmp: [u64; Icmp::NAMES.len()],
    /// `IcmpMsg`: by type, in and out.
    pub(crate) tcp: [u64; Tcp::NAMES.len()],
    pub(crate) udp: [u64; Udp::NAMES.len()],
    pub(crate) ip6: [u64; Ip6::NAMES.len()],
    pub(crate) icmp6: [u64; Icmp6::NAMES.len()],
    pub(crate) udp6: [u64; Udp6::NAMES.len()],
    pub(crate) ip_ext: [u64; IpExt::NAMES.len()],
    pub(crate) tcp_ext: [u64; TcpExt::NAMES.len()],
}

impl Default for Mib {
    fn default() -> Self {
        Self {
            ip: [0; Ip::NAMES.len()],
            icmp: [0; Icmp::NAMES.len()],
            tcp: [0; Tcp::NAMES.len()],
            udp: [0; Udp::NAMES.len()],
            ip6: [0; Ip6::NAMES.len()],
            icmp6: [0; Icmp6::NAMES.len()],
            udp6: [0; Udp6::NAMES.len()],
            ip_ext: [0; IpExt::NAMES.len()],
            tcp_ext: [0; TcpExt::NAMES.len()],
        }
    }
}

/// A counter of any group.
pub(crate) trait Counter: Copy {
    /// Its cell.
    fn cell(self, mib: &mut Mib) -> &mut u64;
}

macro_rules! counter {
    ($($group:ident $field:ident),*) => {
        $(impl Counter for $group {
            fn cell(self, mib: &mut Mib) -> &mut u64 {
                &mut mib.$field[self as usize]
            }
        })*
    };
}

counter!(
    Ip ip, Icmp icmp, Tcp tcp, Udp udp, IpExt ip_ext, TcpExt tcp_ext, Ip6 ip6, Icmp6 icmp6, Udp6 udp6
);

impl Mib {
    /// Adds one.
    pub(crate) fn inc(&mut self, counter: impl Counter) {
        *counter.cell(self) += 1;
    }

    /// Takes one off (CurrEstab is a gauge).
    pub(crate) fn dec(&mut self, counter: impl Counter) {
        let cell = counter.cell(self);
        *cell = cell.saturating_sub(1);
    }

    /// Adds `n`.
    pub(crate) fn add(&mut self, counter: impl Counter, n: u64) {
        *counter.cell(self) += n;
    }

    /// The value of `"TcpExtTCPTimeouts"`, `"IpInReceives"` and so on (as nstat names them).
    pub fn by_name(&self, name: &str) -> Option<u64> {
        let find = |prefix: &str, names: &[&str], cells: &[u64]| {
            let rest = name.strip_prefix(prefix)?;
            names.iter().position(|n| *n == rest).map(|i| cells[i])
        };
        find(TcpExt::PREFIX, TcpExt::NAMES, &self.tcp_ext)
            .or_else(|| find(IpExt::PREFIX, IpExt::NAMES, &self.ip_ext))
            .or_else(|| find(Tcp::PREFIX, Tcp::NAMES, &self.tcp))
            .or_else(|| find(Icmp::PREFIX, Icmp::NAMES, &self.icmp))
            .or_else(|| find(Ip::PREFIX, Ip::NAMES, &self.ip))
            .or_else(|| find(Udp::PREFIX, Udp::NAMES, &self.udp))
            .or_else(|| find(Ip6::PREFIX, Ip6::NAMES, &self.ip6))
            .or_else(|| find(Icmp6::PREFIX, Icmp6::NAMES, &self.icmp6))
            .or_else(|| find(Udp6::PREFIX, Udp6::NAMES, &self.udp6))
    }
}
