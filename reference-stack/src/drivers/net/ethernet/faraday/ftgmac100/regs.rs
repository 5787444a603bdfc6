//! Bits of the registers and descriptors that the driver uses (`ftgmac100.h` has the same names).

pub(super) const INT_RPKT_BUF: u32 = 1 << 0;
pub(super) const INT_NO_RXBUF: u32 = 1 << 2;
pub(super) const INT_RPKT_LOST: u32 = 1 << 3;
pub(super) const INT_XPKT_ETH: u32 = 1 << 4;
pub(super) const INT_XPKT_LOST: u32 = 1 << 7;
pub(super) const INT_AHB_ERR: u32 = 1 << 8;
/// Interrupts that NAPI serves.
pub(super) const INT_RXTX: u32 = INT_XPKT_ETH | INT_RPKT_BUF;
/// Interrupts that tell of trouble.
pub(super) const INT_BAD: u32 = INT_RPKT_LOST | INT_XPKT_LOST | INT_AHB_ERR | INT_NO_RXBUF;
/// All that the driver enables.
pub(super) const INT_ALL: u32 = INT_RXTX | INT_BAD;
/// Every bit there is, to clear the status.
pub(super) const INT_MASK: u32 = 0x7ff;

pub(super) const MACCR_TXDMA_EN: u32 = 1 << 0;
pub(super) const MACCR_RXDMA_EN: u32 = 1 << 1;
pub(super) const MACCR_TXMAC_EN: u32 = 1 << 2;
pub(super) const MACCR_RXMAC_EN: u32 = 1 << 3;
pub(super) const MACCR_RM_VLAN: u32 = 1 << 4;
pub(super) const MACCR_FULLDUP: u32 = 1 << 8;
pub(super) const MACCR_GIGA_MODE: u32 = 1 << 9;
pub(super) const MACCR_CRC_APD: u32 = 1 << 10;
pub(super) const MACCR_PHY_LINK_LEVEL: u32 = 1 << 11;
pub(super) const MACCR_RX_RUNT: u32 = 1 << 12;
pub(super) const MACCR_HT_MULTI_EN: u32 = 1 << 15;
pub(super) const MACCR_RX_BROADPKT: u32 = 1 << 17;
pub(super) const MACCR_FAST_MODE: u32 = 1 << 19;
pub(super) const MACCR_SW_RST: u32 = 1 << 31;

pub(super) const TXDES0_SIZE: u32 = 0x3fff;
pub(super) const TXDES0_EDOTR: u32 = 1 << 30;
pub(super) const TXDES0_LTS: u32 = 1 << 28;
pub(super) const TXDES0_FTS: u32 = 1 << 29;
pub(super) const TXDES0_OWN: u32 = 1 << 31;
pub(super) const TXDES1_INS_VLANTAG: u32 = 1 << 16;
pub(super) const TXDES1_TCP_CHKSUM: u32 = 1 << 17;
pub(super) const TXDES1_UDP_CHKSUM: u32 = 1 << 18;
pub(super) const TXDES1_IP_CHKSUM: u32 = 1 << 19;

pub(super) const RXDES0_VDBC: u32 = 0x3fff;
pub(super) const RXDES0_MULTICAST: u32 = 1 << 16;
pub(super) const RXDES0_RX_ERR: u32 = 1 << 18;
pub(super) const RXDES0_CRC_ERR: u32 = 1 << 19;
pub(super) const RXDES0_FTL: u32 = 1 << 20;
pub(super) const RXDES0_RUNT: u32 = 1 << 21;
pub(super) const RXDES0_RX_ODD_NB: u32 = 1 << 22;
pub(super) const RXDES0_ANY_ERROR: u32 =
    RXDES0_RX_ERR | RXDES0_CRC_ERR | RXDES0_FTL | RXDES0_RUNT | RXDES0_RX_ODD_NB;
pub(super) const RXDES0_LRS: u32 = 1 << 28;
pub(super) const RXDES0_FRS: u32 = 1 << 29;
pub(super) const RXDES0_EDORR: u32 = 1 << 30;
pub(super) const RXDES0_RXPKT_RDY: u32 = 1 << 31;
pub(super) const RXDES1_VLAN_TAG: u32 = 0xffff;
pub(super) const RXDES1_PROT_SHIFT: u32 = 20;
pub(super) const RXDES1_VLANTAG_AVAIL: u32 = 1 << 24;
pub(super) const RXDES1_ANY_CHKSUM_ERR: u32 = 0b111 << 25;

pub(super) const PHYCR_MDC_CYCTHR: u32 = 0x34;
pub(super) const PHYCR_PHYAD_SHIFT: u32 = 16;
pub(super) const PHYCR_REGAD_SHIFT: u32 = 21;
pub(super) const PHYCR_MIIRD: u32 = 1 << 26;
pub(super) const PHYCR_MIIWR: u32 = 1 << 27;
