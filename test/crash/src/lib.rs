//! What the crash tests and the process that they kill agree on: which writer does what, and how it notes it.
//!
//! Each writer owns one logical cluster and does one operation after the other; what operation number `n` is follows
//! from the writer and `n` alone. Before each it notes an *intent*, after the answer an *acknowledgement*, in a file
//! that does not lie with the data. So whoever reads the notes knows exactly what must be there: all that was
//! acknowledged, and of each writer at most one operation more, as a whole or not at all.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::{ClusterName, NameError};
use kcp_storage::{Batch, Expect, Key, KeyError, Options, Prefix, Stamped, Store, Window};

/// How many writers there are.
pub const WRITERS: u64 = 12;

/// A window that is small enough to move during a test.
pub const WINDOW: Window =
    Window { max_age: std::time::Duration::from_secs(600), max_events: 3000, max_bytes: 32 << 20 };

/// How the tests open a store.
pub fn options(directory: &std::path::Path) -> Options {
    Options { window: WINDOW, reserve_bytes: 1 << 20, ..Options::sled(directory) }
}

/// What an operation leaves in a key: the number of the operation, or nothing.
pub type Effect = (String, Option<u64>);

/// One operation of a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    writer: u64,
    number: u64,
    /// Whether everything goes before the puts.
    purge: bool,
    /// Names and what they get.
    pub effects: Vec<Effect>,
}

impl Operation {
    /// Operation `number` of a writer.
    pub fn new(writer: u64, number: u64) -> Self {
        let mut random = Random(writer << 32 | number);
        let purge = number % 97 == 96;
        let mut effects: Vec<Effect> = Vec::new();
        for _ in 0..1 + random.below(3) {
            let name = format!("object-{}", random.below(40));
            let deletes = random.below(5) == 0;
            if effects.iter().all(|effect| effect.0 != name) {
                effects.push((name, (!deletes).then_some(number)));
            }
        }
        Self { writer, number, purge, effects }
    }

    /// The batch that does it.
    ///
    /// # Errors
    /// Never, as long as the names above are valid.
    pub fn batch(&self) -> Result<Batch, BadName> {
        let mut batch = Batch::new();
        if self.purge {
            batch = batch.purge(cluster(self.writer)?);
        }
        for (name, effect) in &self.effects {
            let key = key(self.writer, name)?;
            batch = match effect {
                Some(number) => batch.put(key, value(self.writer, *number, name), Expect::Any),
                None => batch.delete(key, Expect::Any),
            };
        }
        Ok(batch)
    }

    /// What it makes of what the writer had.
    pub fn apply(&self, state: &mut BTreeMap<String, u64>) {
        if self.purge {
            state.clear();
        }
        for (name, effect) in &self.effects {
            match effect {
                Some(number) => state.insert(name.clone(), *number),
                None => state.remove(name),
            };
        }
    }
}

/// The value that operation `number` gives to `name`: 1 KiB mostly, sometimes a few bytes, sometimes 60 KiB.
pub fn value(writer: u64, number: u64, name: &str) -> Stamped {
    let mut random = Random(writer << 32 | number);
    let len = match random.below(30) {
        0 => 60 << 10,
        1..5 => 10,
        _ => 1 << 10,
    };
    let head = format!(r#"{{"writer":{writer},"number":{number},"name":"{name}","resourceVersion":""#);
    let at = head.len() as u32;
    let mut text = head;
    text.push_str(r#"","filler":""#);
    while text.len() < len {
        text.push_str(&format!("{:016x}", random.next()));
    }
    text.push_str("\"}");
    Stamped::new(text, at)
}

/// Why a name above is not valid.
#[derive(Debug)]
pub struct BadName(pub String);

impl From<KeyError> for BadName {
    fn from(error: KeyError) -> Self {
        Self(error.to_string())
    }
}

impl From<NameError> for BadName {
    fn from(error: NameError) -> Self {
        Self(error.to_string())
    }
}

fn resource() -> GroupResource {
    GroupResource::new("", "configmaps")
}

/// A writer's logical cluster. The names are prefixes of each other on purpose.
///
/// # Errors
/// Never.
pub fn cluster(writer: u64) -> Result<ClusterName, BadName> {
    Ok(ClusterName::new(&format!("c{writer}"))?)
}

/// The key of one of a writer's objects.
///
/// # Errors
/// Never for the names used here.
pub fn key(writer: u64, name: &str) -> Result<Key, BadName> {
    Ok(Key::object(&resource(), &cluster(writer)?, "default", name)?)
}

/// What a writer has.
///
/// # Errors
/// Never.
pub fn prefix(writer: u64) -> Result<Prefix, BadName> {
    Ok(Prefix::cluster(&resource(), &cluster(writer)?)?)
}

/// A sequence of numbers that is the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A line of the notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The writer is about to do an operation.
    Intent {
        /// Whose.
        writer: u64,
        /// Which.
        number: u64,
    },
    /// The store has said that an operation is committed.
    Acknowledged {
        /// Whose.
        writer: u64,
        /// Which.
        number: u64,
        /// At which revision.
        revision: u64,
    },
}

impl Note {
    /// Appends the note with one call, so that a kill leaves whole lines.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(self, file: &mut impl Write) -> io::Result<()> {
        let line = match self {
            Self::Intent { writer, number } => format!("I {writer} {number}\n"),
            Self::Acknowledged { writer, number, revision } => format!("A {writer} {number} {revision}\n"),
        };
        file.write_all(line.as_bytes())
    }

    /// All whole lines of the notes.
    pub fn read(text: &str) -> Vec<Self> {
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let tag = fields.next()?;
        let mut number = || fields.next().and_then(|field| field.parse().ok());
        match tag {
            "I" => Some(Self::Intent { writer: number()?, number: number()? }),
            "A" => Some(Self::Acknowledged { writer: number()?, number: number()?, revision: number()? }),
            _ => None,
        }
    }
}

/// Does a writer's operations from `number` on, until the store fails or `until` operations are done.
///
/// # Errors
/// When a name is bad; a commit that fails ends the writer without an error, as a kill would.
pub async fn write(store: Store, writer: u64, number: u64, until: u64, mut notes: impl Write) -> Result<(), BadName> {
    for number in number..until {
        let failed = |error: io::Error| BadName(error.to_string());
        Note::Intent { writer, number }.write(&mut notes).map_err(failed)?;
        let Ok(committed) = store.commit(Operation::new(writer, number).batch()?).await else { break };
        let revision = committed.revision;
        Note::Acknowledged { writer, number, revision }.write(&mut notes).map_err(failed)?;
    }
    Ok(())
}
