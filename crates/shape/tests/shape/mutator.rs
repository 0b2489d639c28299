//! Mutations of DER: every value absent, doubled, altered or encoded in another way, and random ones.

/// A value with what it contains; OCTET STRINGs and BIT STRINGs of DER are entered too.
#[derive(Clone)]
struct Node {
    tag: u8,
    /// The byte before the values of a BIT STRING.
    prefix: Vec<u8>,
    content: Content,
    length: Length,
}

#[derive(Clone)]
enum Content {
    Bytes(Vec<u8>),
    Values(Vec<Node>),
}

#[derive(Clone, Copy, PartialEq)]
enum Length {
    Shortest,
    Longer,
    Indefinite,
}

/// Pseudo-random numbers (xorshift64*), the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        number as usize % bound.max(1)
    }
}

/// Changes of one value, in the order of their numbers.
const KINDS: usize = 12;

/// Mutants of `der`: each kind of change at each value, then `count` random ones. `foreign` are values that are put in
/// place of others.
pub(crate) fn mutants(der: &[u8], foreign: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let root = parse(der).unwrap();
    assert_eq!(encode(&root).concat(), der);
    let places = root.len_all();
    let mut numbers = Numbers::new(der.len() as u64);
    let mut mutants = Vec::new();
    for place in 0..places {
        for kind in 0..KINDS {
            let mut copy = root.clone();
            change(&mut copy, place, kind, foreign, &mut numbers);
            mutants.push(encode(&copy).concat());
        }
    }
    mutants.retain(|mutant| mutant != der);
    let wanted = mutants.len() + count;
    while mutants.len() < wanted {
        let mut copy = root.clone();
        let mut bytes = if numbers.below(4) == 0 {
            der.to_vec()
        } else {
            for _ in 0..=numbers.below(3) {
                let (place, kind) = (numbers.below(copy.len_all()), numbers.below(KINDS));
                change(&mut copy, place, kind, foreign, &mut numbers);
            }
            encode(&copy).concat()
        };
        if numbers.below(2) == 0 && !bytes.is_empty() {
            let at = numbers.below(bytes.len());
            bytes[at] ^= 1 << numbers.below(8);
        }
        if bytes != der {
            mutants.push(bytes);
        }
    }
    mutants
}

trait Count {
    fn len_all(&self) -> usize;
}

impl Count for Vec<Node> {
    fn len_all(&self) -> usize {
        let inner = |node: &Node| match &node.content {
            Content::Bytes(_) => 0,
            Content::Values(values) => values.len_all(),
        };
        self.iter().map(|node| 1 + inner(node)).sum()
    }
}

/// Changes the value that stands at `place` in pre-order.
fn change(
    nodes: &mut Vec<Node>,
    mut place: usize,
    kind: usize,
    foreign: &[Vec<u8>],
    numbers: &mut Numbers,
) {
    for index in 0..nodes.len() {
        if place == 0 {
            return change_here(nodes, index, kind, foreign, numbers);
        }
        place -= 1;
        if let Content::Values(values) = &mut nodes[index].content {
            let inner = values.len_all();
            if place < inner {
                return change(values, place, kind, foreign, numbers);
            }
            place -= inner;
        }
    }
}

fn change_here(
    nodes: &mut Vec<Node>,
    index: usize,
    kind: usize,
    foreign: &[Vec<u8>],
    numbers: &mut Numbers,
) {
    let any = numbers.below(256) as u8;
    let node = &mut nodes[index];
    match kind {
        0 => {
            nodes.remove(index);
        }
        1 => {
            let copy = node.clone();
            nodes.insert(index, copy);
        }
        2 => node.length = Length::Longer,
        3 => node.length = Length::Indefinite,
        4 => node.tag ^= 1 << numbers.below(8),
        5 => {
            let other = (index + 1) % nodes.len();
            nodes.swap(index, other);
        }
        6 if !foreign.is_empty() => {
            let chosen = numbers.below(foreign.len());
            *node = parse(&foreign[chosen]).unwrap().remove(0);
        }
        7 if !foreign.is_empty() => {
            let chosen = numbers.below(foreign.len());
            let value = parse(&foreign[chosen]).unwrap().remove(0);
            nodes.insert(index, value);
        }
        // A BOOLEAN in second place: the criticality of an extension.
        8 => match &mut node.content {
            Content::Values(values) if values.len() > 1 => {
                let content = vec![if any & 1 == 0 { 0 } else { 0xff }];
                values.insert(1, primitive(1, content));
            }
            Content::Values(_) | Content::Bytes(_) => node.prefix.push(any),
        },
        _ => {
            let mut bytes = match &node.content {
                Content::Bytes(bytes) => bytes.clone(),
                Content::Values(values) => [node.prefix.clone(), encode(values).concat()].concat(),
            };
            node.prefix.clear();
            match kind {
                9 if !bytes.is_empty() => {
                    let at = numbers.below(bytes.len());
                    bytes[at] ^= 1 << numbers.below(8);
                }
                10 => {
                    bytes.pop();
                }
                _ => bytes.insert(numbers.below(bytes.len() + 1), any),
            }
            node.content = Content::Bytes(bytes);
        }
    }
}

fn primitive(tag: u8, content: Vec<u8>) -> Node {
    Node {
        tag,
        prefix: Vec::new(),
        content: Content::Bytes(content),
        length: Length::Shortest,
    }
}

/// The values that follow each other, if there are any and all of them are DER.
fn parse(mut der: &[u8]) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while let [tag, length, rest @ ..] = der {
        let digits = usize::from(length & 0x7f);
        let (length, rest) = match length {
            short @ 0..0x80 => (usize::from(*short), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(digits)?;
                let fold = |length: usize, digit: &u8| length << 8 | usize::from(*digit);
                (digits.iter().fold(0, fold), rest)
            }
            0x80 | 0x84.. => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        nodes.push(node(*tag, content)?);
        der = rest;
    }
    (der.is_empty() && !nodes.is_empty()).then_some(nodes)
}

fn node(tag: u8, content: &[u8]) -> Option<Node> {
    let is_constructed = tag & 0x20 != 0;
    // A BIT STRING of whole bytes begins with a zero.
    let start = usize::from(tag == 3 && content.first() == Some(&0));
    let may_hold = is_constructed || tag == 4 || start == 1;
    let values = parse(&content[start..]).filter(|_| may_hold);
    let content = match values {
        Some(values) => Content::Values(values),
        None if is_constructed && !content.is_empty() => return None,
        None => return Some(primitive(tag, content.to_vec())),
    };
    Some(Node {
        tag,
        prefix: vec![0; start],
        content,
        length: Length::Shortest,
    })
}

fn encode(nodes: &[Node]) -> Vec<Vec<u8>> {
    let one = |node: &Node| {
        let content = match &node.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Values(values) => encode(values).concat(),
        };
        let content = [node.prefix.clone(), content].concat();
        match node.length {
            Length::Shortest => crate::tlv(node.tag, &content),
            Length::Longer => {
                let length = (content.len() as u32).to_be_bytes();
                [&[node.tag, 0x84][..], &length, &content].concat()
            }
            Length::Indefinite => [&[node.tag, 0x80][..], &content, &[0, 0]].concat(),
        }
    };
    nodes.iter().map(one).collect()
}
