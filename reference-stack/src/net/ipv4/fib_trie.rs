//! The routing table as a level-compressed trie (Linux `fib_trie.c`; S. Nilsson and G. Karlsson,
//! "IP-Address Lookup Using LC-Tries", 1999).
//!
//! Inner nodes branch on several bits at once. A node doubles while it is well filled and halves
//! while it is sparse; the thresholds are Linux's, so /proc/net/fib_trie shows the same tree.

use super::fib_semantics::{FibInfo, RT_TABLE_LOCAL, RT_TABLE_MAIN};
use super::route::RtType;
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

const KEYLENGTH: u8 = 32;
const INFLATE_THRESHOLD: u64 = 50;
const HALVE_THRESHOLD: u64 = 25;
/// The topmost node is kept larger.
const INFLATE_THRESHOLD_ROOT: u64 = 30;
const HALVE_THRESHOLD_ROOT: u64 = 15;
/// Doublings or halvings in one go.
const MAX_WORK: u32 = 10;

const NIL: u32 = u32::MAX;
/// The node that stands above the topmost one.
const TRIE: u32 = 0;

/// One route of a prefix (`struct fib_alias`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FibAlias {
    /// Host bits of the prefix: 32 minus its length.
    pub(crate) slen: u8,
    pub(crate) tos: u8,
    pub(crate) rt_type: RtType,
    pub(crate) tb_id: u32,
    pub(crate) info: Arc<FibInfo>,
}

#[derive(Clone, Debug)]
enum Body {
    /// A prefix's address with its routes: longest prefix first, then local before main, then by
    /// TOS, then by priority.
    Leaf(SmallVec<[FibAlias; 1]>),
    Tnode {
        child: Vec<u32>,
        empty: u32,
        full: u32,
    },
    Free,
}

#[derive(Clone, Debug)]
struct Node {
    key: u32,
    /// Bits below those that the node branches on.
    pos: u8,
    /// Bits that the node branches on; 0: a leaf.
    bits: u8,
    /// Most host bits of any prefix at or below the node.
    slen: u8,
    parent: u32,
    body: Body,
}

/// A trie; empty by default.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    free: Vec<u32>,
    routes: usize,
}

/// What a route is found by (`struct fib_alias` key: prefix, TOS, priority, table).
#[derive(Clone, Copy, Debug)]
pub(crate) struct AliasKey {
    pub(crate) key: u32,
    pub(crate) plen: u8,
    pub(crate) tos: u8,
    pub(crate) priority: u32,
    pub(crate) tb_id: u32,
}

/// A route with its prefix, for those who list a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteRef<'a> {
    pub(crate) prefix: Ipv4Addr,
    pub(crate) plen: u8,
    pub(crate) alias: &'a FibAlias,
}

impl Default for Trie {
    fn default() -> Self {
        let body = Body::Tnode { child: vec![NIL], empty: 1, full: 0 };
        let root = Node { key: 0, pos: KEYLENGTH, bits: 0, slen: KEYLENGTH, parent: NIL, body };
        Self { nodes: vec![root], free: Vec::new(), routes: 0 }
    }
}

fn index_of(key: u32, node: &Node) -> u64 {
    u64::from(key ^ node.key) >> node.pos
}

/// Whether bits that differ lie within the node's own prefix.
fn prefix_mismatch(key: u32, prefix: u32) -> bool {
    (key ^ prefix) & (prefix | prefix.wrapping_neg()) != 0
}

impl Trie {
    fn node(&self, n: u32) -> &Node {
        &self.nodes[n as usize]
    }

    fn node_mut(&mut self, n: u32) -> &mut Node {
        &mut self.nodes[n as usize]
    }

    fn is_trie(&self, n: u32) -> bool {
        n == TRIE
    }

    fn is_tnode(&self, n: u32) -> bool {
        self.node(n).bits > 0
    }

    fn child(&self, n: u32, i: u64) -> u32 {
        match &self.node(n).body {
            Body::Tnode { child, .. } => child.get(i as usize).copied().unwrap_or(NIL),
            _ => NIL,
        }
    }

    fn child_length(&self, n: u32) -> u64 {
        1 << self.node(n).bits
    }

    /// A child that branches on the very next bits.
    fn is_full(&self, parent: u32, n: u32) -> bool {
        n != NIL && self.is_tnode(n) && {
            let node = self.node(n);
            node.pos + node.bits == self.node(parent).pos
        }
    }

    fn new_node(&mut self, node: Node) -> u32 {
        match self.free.pop() {
            Some(n) => {
                self.nodes[n as usize] = node;
                n
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    fn free_node(&mut self, n: u32) {
        self.node_mut(n).body = Body::Free;
        self.free.push(n);
    }

    fn tnode_new(&mut self, key: u32, pos: u8, bits: u8) -> u32 {
        let shift = u32::from(pos) + u32::from(bits);
        let key = if shift < 32 { (key >> shift) << shift } else { 0 };
        let child = vec![NIL; 1 << bits];
        let body = Body::Tnode { child, empty: 1 << bits, full: 0 };
        self.new_node(Node { key, pos, bits, slen: pos, parent: NIL, body })
    }

    /// Puts a child into a node and keeps the node's counts.
    fn put_child(&mut self, tn: u32, i: u64, n: u32) {
        let old = self.child(tn, i);
        let (was_full, is_full) = (self.is_full(tn, old), self.is_full(tn, n));
        let slen = if n == NIL { 0 } else { self.node(n).slen };
        let node = self.node_mut(tn);
        let Body::Tnode { child, empty, full } = &mut node.body else { return };
        match (old == NIL, n == NIL) {
            (false, true) => *empty += 1,
            (true, false) => *empty -= 1,
            _ => {}
        }
        match (was_full, is_full) {
            (true, false) => *full -= 1,
            (false, true) => *full += 1,
            _ => {}
        }
        child[i as usize] = n;
        if n != NIL && node.slen < slen {
            node.slen = slen;
        }
    }

    fn put_child_root(&mut self, tp: u32, key: u32, n: u32) {
        if self.is_trie(tp) {
            if let Body::Tnode { child, .. } = &mut self.node_mut(tp).body {
                child[0] = n;
            }
        } else {
            let i = index_of(key, self.node(tp));
            self.put_child(tp, i, n);
        }
        if n != NIL {
            self.node_mut(n).parent = tp;
        }
    }

    fn adopt(&mut self, tn: u32) {
        for i in 0..self.child_length(tn) {
            let c = self.child(tn, i);
            if c != NIL {
                self.node_mut(c).parent = tn;
            }
        }
    }

    /// Puts `tn` where `old` was, and resizes those of its children that now touch it.
    fn replace(&mut self, old: u32, tn: u32) -> u32 {
        let tp = self.node(old).parent;
        let key = self.node(tn).key;
        self.put_child_root(tp, key, tn);
        self.adopt(tn);
        self.free_node(old);
        for i in (0..self.child_length(tn)).rev() {
            let c = self.child(tn, i);
            if self.is_full(tn, c) {
                self.resize(c);
            }
        }
        tp
    }

    /// Doubles a node.
    fn inflate(&mut self, old: u32) -> u32 {
        let (key, pos, bits) = self.shape(old);
        let tn = self.tnode_new(key, pos - 1, bits + 1);
        let mut absorbed = Vec::new();
        for i in (0..self.child_length(old)).rev() {
            let inode = self.child(old, i);
            if inode == NIL {
                continue;
            }
            if !self.is_full(old, inode) {
                let at = index_of(self.node(inode).key, self.node(tn));
                self.put_child(tn, at, inode);
                continue;
            }
            absorbed.push(inode);
            let (ikey, ipos, ibits) = self.shape(inode);
            if ibits == 1 {
                let (one, zero) = (self.child(inode, 1), self.child(inode, 0));
                self.put_child(tn, 2 * i + 1, one);
                self.put_child(tn, 2 * i, zero);
                continue;
            }
            // Split in two nodes, each with half of the children.
            let half = 1_u64 << (ibits - 1);
            for (side, at) in [(1, 2 * i + 1), (0, 2 * i)] {
                let key = if side == 1 { ikey | 1 << (pos - 1) } else { ikey };
                let part = self.tnode_new(key, ipos, ibits - 1);
                for j in (0..half).rev() {
                    let c = self.child(inode, side * half + j);
                    self.put_child(part, j, c);
                }
                self.adopt(part);
                self.put_child(tn, at, part);
            }
        }
        let tp = self.replace(old, tn);
        for n in absorbed {
            self.free_node(n);
        }
        tp
    }

    /// Halves a node.
    fn halve(&mut self, old: u32) -> u32 {
        let (key, pos, bits) = self.shape(old);
        let tn = self.tnode_new(key, pos + 1, bits - 1);
        for i in (0..self.child_length(old) / 2).rev() {
            let (node0, node1) = (self.child(old, 2 * i), self.child(old, 2 * i + 1));
            let n = match (node0, node1) {
                (NIL, n) | (n, NIL) => n,
                _ => {
                    let inode = self.tnode_new(self.node(node0).key, pos, 1);
                    self.put_child(inode, 1, node1);
                    self.put_child(inode, 0, node0);
                    self.adopt(inode);
                    inode
                }
            };
            self.put_child(tn, i, n);
        }
        self.replace(old, tn)
    }

    /// Replaces a node that has at most one child by that child.
    fn collapse(&mut self, old: u32) -> u32 {
        let n = (0..self.child_length(old)).map(|i| self.child(old, i)).find(|&c| c != NIL);
        let (tp, key) = (self.node(old).parent, self.node(old).key);
        self.put_child_root(tp, key, n.unwrap_or(NIL));
        self.free_node(old);
        tp
    }

    fn shape(&self, n: u32) -> (u32, u8, u8) {
        let node = self.node(n);
        (node.key, node.pos, node.bits)
    }

    fn counts(&self, n: u32) -> (u64, u64) {
        match self.node(n).body {
            Body::Tnode { empty, full, .. } => (empty.into(), full.into()),
            _ => (0, 0),
        }
    }

    fn should_inflate(&self, tp: u32, tn: u32) -> bool {
        let length = self.child_length(tn);
        let percent = if self.is_trie(tp) { INFLATE_THRESHOLD_ROOT } else { INFLATE_THRESHOLD };
        let (empty, full) = self.counts(tn);
        let used = length - empty + full;
        used > 1 && self.node(tn).pos > 0 && 50 * used >= length * percent
    }

    fn should_halve(&self, tp: u32, tn: u32) -> bool {
        let length = self.child_length(tn);
        let percent = if self.is_trie(tp) { HALVE_THRESHOLD_ROOT } else { HALVE_THRESHOLD };
        let used = length - self.counts(tn).0;
        used > 1 && self.node(tn).bits > 1 && 100 * used < length * percent
    }

    /// Brings a node to its right size; returns its parent.
    fn resize(&mut self, n: u32) -> u32 {
        let mut tn = n;
        let mut tp = self.node(tn).parent;
        let at = if self.is_trie(tp) { 0 } else { index_of(self.node(tn).key, self.node(tp)) };
        let mut work = MAX_WORK;
        while work > 0 && self.should_inflate(tp, tn) {
            tp = self.inflate(tn);
            work -= 1;
            tn = self.child(tp, at);
        }
        if work != MAX_WORK {
            return tp;
        }
        while work > 0 && self.should_halve(tp, tn) {
            tp = self.halve(tn);
            work -= 1;
            tn = self.child(tp, at);
        }
        if self.child_length(tn) - self.counts(tn).0 < 2 {
            return self.collapse(tn);
        }
        tp
    }

    fn rebalance(&mut self, mut tn: u32) {
        while !self.is_trie(tn) {
            tn = self.resize(tn);
        }
    }

    /// Recomputes how many host bits the prefixes below a node have at most.
    fn update_suffix(&mut self, tn: u32) -> u8 {
        let pos = self.node(tn).pos;
        let slen = (0..self.child_length(tn))
            .map(|i| self.child(tn, i))
            .filter(|&c| c != NIL)
            .map(|c| self.node(c).slen)
            .fold(pos, u8::max);
        self.node_mut(tn).slen = slen;
        slen
    }

    fn push_suffix(&mut self, mut tn: u32, slen: u8) {
        while self.node(tn).slen < slen {
            self.node_mut(tn).slen = slen;
            tn = self.node(tn).parent;
        }
    }

    fn pull_suffix(&mut self, mut tn: u32, mut slen: u8) {
        while !self.is_trie(tn) {
            let before = self.node(tn).slen;
            if before <= self.node(tn).pos || before <= slen {
                return;
            }
            slen = self.update_suffix(tn);
            if slen == before {
                return;
            }
            tn = self.node(tn).parent;
        }
    }

    /// The leaf of a key, and the node where it is or would be.
    fn find_node(&self, key: u32) -> (u32, Option<u32>) {
        let (mut pn, mut n) = (TRIE, self.child(TRIE, 0));
        while n != NIL {
            let index = index_of(key, self.node(n));
            if index >= self.child_length(n) {
                return (pn, None);
            }
            if !self.is_tnode(n) {
                return (pn, Some(n));
            }
            pn = n;
            n = self.child(n, index);
        }
        (pn, None)
    }

    fn aliases(&self, leaf: u32) -> &[FibAlias] {
        match &self.node(leaf).body {
            Body::Leaf(aliases) => aliases,
            _ => &[],
        }
    }

    fn insert_node(&mut self, mut tp: u32, key: u32, alias: FibAlias) {
        let slen = alias.slen;
        let mut aliases = SmallVec::new();
        aliases.push(alias);
        let body = Body::Leaf(aliases);
        let leaf = self.new_node(Node { key, pos: 0, bits: 0, slen, parent: NIL, body });
        let at = if self.is_trie(tp) { 0 } else { index_of(key, self.node(tp)) };
        let n = self.child(tp, at);
        if n != NIL {
            // Something with another key is in the way: a node that tells the two apart.
            let differ = 31 - (key ^ self.node(n).key).leading_zeros() as u8;
            let tn = self.tnode_new(key, differ, 1);
            let side = index_of(key, self.node(tn)) ^ 1;
            self.put_child(tn, side, n);
            self.put_child_root(tp, key, tn);
            self.node_mut(n).parent = tn;
            tp = tn;
        }
        self.push_suffix(tp, slen);
        self.put_child_root(tp, key, leaf);
        self.rebalance(tp);
    }

    /// Where an alias of this key is, or before which it belongs (`fib_find_alias`).
    fn find_alias(aliases: &[FibAlias], k: &AliasKey) -> Option<usize> {
        let slen = KEYLENGTH - k.plen;
        for (i, fa) in aliases.iter().enumerate() {
            if fa.slen < slen {
                continue;
            }
            if fa.slen != slen {
                return None;
            }
            if fa.tb_id > k.tb_id {
                continue;
            }
            if fa.tb_id != k.tb_id {
                return None;
            }
            if fa.tos > k.tos {
                continue;
            }
            if fa.info.priority >= k.priority || fa.tos < k.tos {
                return Some(i);
            }
        }
        None
    }

    /// The routes that have exactly this prefix, TOS, priority and table, in order.
    pub(crate) fn same_key<'a>(&'a self, k: &AliasKey) -> impl Iterator<Item = &'a FibAlias> {
        let (tos, priority, tb_id, slen) = (k.tos, k.priority, k.tb_id, KEYLENGTH - k.plen);
        let aliases = self.find_node(k.key).1.map_or(&[][..], |leaf| self.aliases(leaf));
        aliases.iter().filter(move |fa| {
            fa.slen == slen && fa.tos == tos && fa.info.priority == priority && fa.tb_id == tb_id
        })
    }

    /// Adds a route; `append`: behind those of the same key, else before them.
    pub(crate) fn insert(&mut self, k: &AliasKey, alias: FibAlias, append: bool) {
        self.routes += 1;
        let (tp, leaf) = self.find_node(k.key);
        let Some(leaf) = leaf else { return self.insert_node(tp, k.key, alias) };
        let slen = alias.slen;
        let aliases = self.aliases(leaf);
        let found = Self::find_alias(aliases, k);
        let at = match found {
            Some(mut i) => {
                while append
                    && aliases.get(i).is_some_and(|fa| {
                        fa.slen == slen
                            && fa.tb_id == k.tb_id
                            && fa.tos == k.tos
                            && fa.info.priority == k.priority
                    })
                {
                    i += 1;
                }
                i
            }
            None => aliases
                .iter()
                .position(|fa| slen < fa.slen || (slen == fa.slen && k.tb_id > fa.tb_id))
                .unwrap_or(aliases.len()),
        };
        let node = self.node_mut(leaf);
        if let Body::Leaf(aliases) = &mut node.body {
            aliases.insert(at, alias);
        }
        if node.slen < slen {
            node.slen = slen;
            self.push_suffix(tp, slen);
        }
    }

    /// Takes the first route of this key out for which `wanted` holds.
    pub(crate) fn remove(
        &mut self,
        k: &AliasKey,
        wanted: impl Fn(&FibAlias) -> bool,
    ) -> Option<FibAlias> {
        let (tp, leaf) = self.find_node(k.key);
        let leaf = leaf?;
        let slen = KEYLENGTH - k.plen;
        let at = self
            .aliases(leaf)
            .iter()
            .position(|fa| fa.slen == slen && fa.tb_id == k.tb_id && wanted(fa))?;
        Some(self.remove_alias(tp, leaf, at))
    }

    fn remove_alias(&mut self, tp: u32, leaf: u32, at: usize) -> FibAlias {
        self.routes -= 1;
        let node = self.node_mut(leaf);
        let (key, old_slen) = (node.key, node.slen);
        let Body::Leaf(aliases) = &mut node.body else { unreachable!("find_node gives leaves") };
        let removed = aliases.remove(at);
        if let Some(last) = aliases.last() {
            let slen = last.slen;
            if slen != old_slen {
                node.slen = slen;
                self.pull_suffix(tp, slen);
            }
            return removed;
        }
        self.put_child_root(tp, key, NIL);
        if !self.is_trie(tp) && self.node(tp).slen == old_slen {
            let pos = self.node(tp).pos;
            self.pull_suffix(tp, pos);
        }
        self.free_node(leaf);
        self.rebalance(tp);
        removed
    }

    /// Takes out every route for which `gone` holds (`fib_table_flush`); how many.
    pub(crate) fn flush(&mut self, gone: impl Fn(u32, &FibAlias) -> bool) -> usize {
        let victims: Vec<(u32, u8, u32, Arc<FibInfo>, u8)> = self
            .leaves()
            .flat_map(|leaf| {
                let key = self.node(leaf).key;
                self.aliases(leaf).iter().map(move |fa| (key, fa))
            })
            .filter(|&(key, fa)| gone(key, fa))
            .map(|(key, fa)| (key, fa.slen, fa.tb_id, fa.info.clone(), fa.tos))
            .collect();
        for (key, slen, tb_id, info, tos) in &victims {
            let priority = info.priority;
            let k =
                AliasKey { key: *key, plen: KEYLENGTH - slen, tos: *tos, priority, tb_id: *tb_id };
            self.remove(&k, |fa| fa.tos == *tos && Arc::ptr_eq(&fa.info, info));
        }
        victims.len()
    }

    /// The longest prefix with a route that `accept`s (`fib_table_lookup`): what `accept` makes
    /// of it. `accept` returns `None` to go on.
    pub(crate) fn lookup<T>(
        &self,
        key: u32,
        mut accept: impl FnMut(&FibAlias) -> Option<T>,
    ) -> Option<T> {
        let (mut pn, mut cindex) = (TRIE, 0_u64);
        let mut n = self.child(TRIE, 0);
        // Down to the leaf that shares the most bits.
        let mut exact = false;
        while n != NIL {
            let node = self.node(n);
            let index = index_of(key, node);
            if index >= self.child_length(n) {
                break;
            }
            if node.bits == 0 {
                exact = true;
                break;
            }
            if node.slen > node.pos {
                (pn, cindex) = (n, index);
            }
            n = self.child(n, index);
        }
        loop {
            // Down along the zeros, as long as a shorter prefix of the key may be there.
            if !exact {
                while n != NIL {
                    let node = self.node(n);
                    if prefix_mismatch(key, node.key) || node.slen == node.pos {
                        n = NIL;
                    } else if node.bits == 0 {
                        break;
                    } else {
                        n = self.child(n, 0);
                        continue;
                    }
                }
            }
            if n != NIL {
                let differ = u64::from(key ^ self.node(n).key);
                let hit =
                    self.aliases(n).iter().filter(|fa| differ < 1 << fa.slen).find_map(&mut accept);
                if hit.is_some() {
                    return hit;
                }
            }
            exact = false;
            // Back up to the last node where another bit of the key can be dropped.
            while cindex == 0 {
                if self.is_trie(pn) {
                    return None;
                }
                let pkey = self.node(pn).key;
                pn = self.node(pn).parent;
                cindex = if self.is_trie(pn) { 0 } else { index_of(pkey, self.node(pn)) };
            }
            cindex &= cindex - 1;
            n = self.child(pn, cindex);
        }
    }

    fn leaves(&self) -> impl Iterator<Item = u32> + '_ {
        self.walk().filter(|&(n, _)| !self.is_tnode(n)).map(|(n, _)| n)
    }

    /// Every node with the depth of its parent, in order of keys, parents first.
    fn walk(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        let mut stack = vec![(self.child(TRIE, 0), 0)];
        std::iter::from_fn(move || {
            loop {
                let (n, depth) = stack.pop()?;
                if n == NIL {
                    continue;
                }
                if self.is_tnode(n) {
                    let children = (0..self.child_length(n)).rev();
                    stack.extend(children.map(|i| (self.child(n, i), depth + 1)));
                }
                return Some((n, depth));
            }
        })
    }

    /// Every route, in order of prefix address.
    pub(crate) fn routes(&self) -> impl Iterator<Item = RouteRef<'_>> {
        self.leaves().flat_map(|leaf| {
            let prefix = Ipv4Addr::from(self.node(leaf).key);
            self.aliases(leaf).iter().map(move |alias| RouteRef {
                prefix,
                plen: KEYLENGTH - alias.slen,
                alias,
            })
        })
    }

    /// The tree as /proc/net/fib_trie draws it.
    fn draw(&self, out: &mut String) {
        use std::fmt::Write as _;
        for (n, depth) in self.walk() {
            let node = self.node(n);
            let (key, indent) = (Ipv4Addr::from(node.key), "   ".repeat(depth));
            if node.bits > 0 {
                let plen = KEYLENGTH - node.pos - node.bits;
                let (empty, full) = self.counts(n);
                let _ = writeln!(out, "{indent}  +-- {key}/{plen} {} {full} {empty}", node.bits);
                continue;
            }
            let _ = writeln!(out, "{indent}  |-- {key}");
            for fa in self.aliases(n) {
                let plen = KEYLENGTH - fa.slen;
                let scope = fa.info.scope.name();
                let _ = write!(out, "{indent}     /{plen} {scope} {}", fa.rt_type.name());
                if fa.tos != 0 {
                    let _ = write!(out, " tos={}", fa.tos);
                }
                out.push('\n');
            }
        }
    }
}

/// The text of /proc/net/fib_trie. The tables local and main share one trie as long as there are
/// no rules of an administrator, so both print the same.
pub(crate) fn fib_trie_seq_show(trie: &Trie) -> String {
    let mut out = String::new();
    if trie.child(TRIE, 0) == NIL {
        return out;
    }
    for (_, name) in [(RT_TABLE_MAIN, "Main"), (RT_TABLE_LOCAL, "Local")] {
        out.push_str(name);
        out.push_str(":\n");
        trie.draw(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fib_semantics::{FibNh, Metrics, RtScope};
    use super::*;
    use crate::net::core::dev::DevId;
    use proptest::prelude::*;

    fn alias(key: u32, plen: u8, priority: u32) -> (AliasKey, FibAlias) {
        let info = FibInfo {
            scope: RtScope::Link,
            priority,
            prefsrc: None,
            nh: Some(FibNh { dev: DevId(0), gw: None, scope: RtScope::Host }),
            metrics: Metrics::default(),
            by_kernel: false,
        };
        let slen = KEYLENGTH - plen;
        let key = u64::from(key) >> slen << slen;
        let (rt_type, tb_id) = (RtType::Unicast, RT_TABLE_MAIN);
        let k = AliasKey { key: key as u32, plen, tos: 0, priority, tb_id };
        (k, FibAlias { slen, tos: 0, rt_type, tb_id, info: Arc::new(info) })
    }

    /// Every count and suffix length, recomputed.
    fn check(trie: &Trie) {
        for (n, _) in trie.walk().filter(|&(n, _)| trie.is_tnode(n)) {
            let node = trie.node(n);
            let children: Vec<u32> = (0..trie.child_length(n)).map(|i| trie.child(n, i)).collect();
            let empty = children.iter().filter(|&&c| c == NIL).count() as u64;
            let full = children.iter().filter(|&&c| trie.is_full(n, c)).count() as u64;
            assert_eq!(trie.counts(n), (empty, full));
            let living = children.iter().filter(|&&c| c != NIL);
            let slen = living.clone().map(|&c| trie.node(c).slen).fold(node.pos, u8::max);
            assert_eq!(node.slen, slen);
            for (i, &c) in children.iter().enumerate().filter(|(_, c)| **c != NIL) {
                assert_eq!(index_of(trie.node(c).key, node), i as u64);
                assert_eq!(trie.node(c).parent, n);
            }
        }
    }

    fn keys() -> impl Strategy<Value = u32> {
        // Crowded in places, so that nodes inflate, and far apart in others.
        prop_oneof![any::<u32>(), 0x0a00_0200..0x0a00_0300_u32, 0xc0a8_0000..0xc0a8_0010_u32]
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins_whatever_came_and_went(
            routes in prop::collection::vec((keys(), 0_u8..=32, any::<bool>()), 1..120),
            asked in prop::collection::vec(keys(), 20),
        ) {
            let mut trie = Trie::default();
            let mut list: Vec<(u32, u8)> = Vec::new();
            for (n, &(key, plen, remove)) in routes.iter().enumerate() {
                let (k, fa) = alias(key, plen, 0);
                if !list.contains(&(k.key, plen)) {
                    trie.insert(&k, fa, false);
                    list.push((k.key, plen));
                }
                if remove {
                    let (key, plen) = list.swap_remove(n % list.len());
                    let (k, _) = alias(key, plen, 0);
                    prop_assert!(trie.remove(&k, |_| true).is_some());
                }
                check(&trie);
            }
            for &addr in asked.iter().chain(list.iter().map(|(key, _)| key)) {
                let matches = |&&(key, plen): &&(u32, u8)| {
                    u64::from(addr ^ key) >> (32 - plen) == 0
                };
                let wanted = list.iter().filter(matches).map(|r| r.1).max();
                let got = trie.lookup(addr, |fa| Some(KEYLENGTH - fa.slen));
                prop_assert_eq!(got, wanted);
            }
            for (key, plen) in list {
                let (k, _) = alias(key, plen, 0);
                prop_assert!(trie.remove(&k, |_| true).is_some());
                check(&trie);
            }
            prop_assert_eq!(trie.free.len() + 1, trie.nodes.len(), "every node came home");
        }
    }

    #[test]
    fn of_one_prefix_the_lower_priority_number_comes_first() {
        let mut trie = Trie::default();
        for priority in [5, 1, 3] {
            let (k, fa) = alias(0x0a00_0000, 8, priority);
            trie.insert(&k, fa, false);
        }
        let got: Vec<u32> = trie.routes().map(|r| r.alias.info.priority).collect();
        assert_eq!(got, [1, 3, 5]);
    }
}
