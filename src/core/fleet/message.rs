//! Owns the messages by which members of the fleet notify each other. A message reveals no owner and no token.

use super::crypto::Name;

pub type Sender = [u8; 16];

/// What has happened to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// Discard these connections.
    Invalidated = b'i',
    /// Discard every connection that was fetched until now.
    AllInvalidated = b'a',
    /// The fetch of these connections has ended.
    Fetched = b'f',
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub event: Event,
    pub sender: Sender,
    pub names: Vec<Name>,
}

impl Message {
    /// The message as Redis publishes it. A script may append more names.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&[self.event as u8], &self.sender[..]].concat();
        self.names.iter().for_each(|name| bytes.extend(name.bytes()));
        bytes
    }

    /// Reads a message. Others may write to the channel, so anything else is `None`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        let mut events = [Event::Invalidated, Event::AllInvalidated, Event::Fetched].into_iter();
        let event = events.find(|event| *event as u8 == *first)?;
        let (sender, names) = rest.split_first_chunk()?;
        let names = names.chunks(Name::LENGTH).map(Name::parse).collect::<Option<_>>()?;
        Some(Self { event, sender: *sender, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_nothing_else_is() {
        let names = [7, 8].map(|byte| Name::parse(&[byte; 32]).unwrap());
        for event in [Event::Invalidated, Event::AllInvalidated, Event::Fetched] {
            for count in 0..=names.len() {
                let message = Message { event, sender: [1; 16], names: names[..count].to_vec() };
                assert_eq!(Message::parse(&message.bytes()), Some(message.clone()));
                assert_eq!(Message::parse(&[&message.bytes()[..], b"x"].concat()), None);
            }
        }
        for strange in [&b""[..], b"i", b"hello", &[b'x'; 49], &[b'i'; 48], &[b'i'; 16]] {
            assert_eq!(Message::parse(strange), None);
        }
    }
}
