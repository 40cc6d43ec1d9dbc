//! What members of a fleet tell each other: a few bytes with a connection's name, in which nothing can be read.

use super::crypto::Name;

/// Names a member.
pub type Sender = [u8; 16];

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    pub event: Event,
    pub sender: Sender,
    pub name: Name,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What was kept of it is of no use any more.
    Dropped,
    /// Whoever fetched it is done.
    Fetched,
}

impl News {
    /// As Redis passes it on.
    pub fn bytes(&self) -> Vec<u8> {
        let event = match self.event {
            Event::Dropped => b'd',
            Event::Fetched => b'f',
        };
        [&[event], &self.sender[..], self.name.bytes()].concat()
    }

    /// `None` for what is no such message: others may write to the channel.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (event, rest) = bytes.split_first()?;
        let event = match event {
            b'd' => Event::Dropped,
            b'f' => Event::Fetched,
            _ => return None,
        };
        let (sender, name) = rest.split_first_chunk()?;
        Some(Self { event, sender: *sender, name: Name::parse(name)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_were_written_and_nothing_else_is() {
        let name = Name::parse(&[7; 32]).unwrap();
        for event in [Event::Dropped, Event::Fetched] {
            let news = News { event, sender: [1; 16], name };
            assert_eq!(News::parse(&news.bytes()), Some(news));
            assert_eq!(News::parse(&[&news.bytes()[..], b"x"].concat()), None);
        }
        for strange in [&b""[..], b"d", b"hello", &[b'x'; 49], &[b'd'; 48]] {
            assert_eq!(News::parse(strange), None);
        }
    }
}
