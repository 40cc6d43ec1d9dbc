//! Packs optional fields into one buffer, since a client keeps many connections and reads few of them. A field begins with
//! its length plus one, 7 bits a byte; an absent field is a 0.

use zeroize::Zeroizing;

use crate::core::connection::{Connection, ConnectionState, Details};
use crate::core::secret::Secret;

/// Bits of a length in one byte; the bit above them says whether another byte follows.
const LENGTH_BITS: u32 = 7;

/// Fields in one buffer, which is wiped when it is dropped.
#[derive(Clone, PartialEq)]
pub struct Packed(Zeroizing<Box<[u8]>>);

impl Packed {
    /// Packs the fields in their order.
    fn new<'a>(fields: impl Iterator<Item = Option<&'a [u8]>> + Clone) -> Self {
        // The exact capacity, since a buffer that grows leaves copies behind.
        let mut buffer = Vec::with_capacity(fields.clone().map(packed_bytes).sum());
        for field in fields {
            pack_field(field, &mut buffer);
        }
        Self(Zeroizing::new(buffer.into_boxed_slice()))
    }

    /// The fields in their order; always `None` after the last one.
    pub fn fields(&self) -> Fields<'_> {
        Fields(&self.0)
    }

    /// The buffer, for [`Fields::new`] to read.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads one field after the other.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Begins at the first field of a buffer.
    pub fn new(buffer: &'a [u8]) -> Self {
        Self(buffer)
    }

    /// The next field.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(LENGTH_BITS as usize) {
            let byte = *self.0.split_off_first()?;
            length |= usize::from(byte & !(1 << LENGTH_BITS)) << shift;
            if byte >> LENGTH_BITS == 0 {
                break;
            }
        }
        self.0.split_off(..length.checked_sub(1)?)
    }

    /// The next field as text.
    pub fn text(&mut self) -> Option<&'a str> {
        self.bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }
}

/// Packs an active connection: its token, its expiry, and the details.
pub fn pack(connection: &Connection) -> Packed {
    let expires_at = match &connection.state {
        ConnectionState::Active { expires_at, .. } => expires_at.map(f64::to_le_bytes),
        ConnectionState::Unavailable { .. } => None,
    };
    let Details {
        slug,
        connection_id,
        connector_name,
        authorization_id,
        authorization_status,
        display_label,
    } = &connection.details;
    let texts = [slug, connection_id, connector_name, authorization_id, authorization_status, display_label];
    let token = connection.token().unwrap_or_default().as_bytes();
    let first = [Some(token), expires_at.as_ref().map(<[u8; 8]>::as_slice)];
    Packed::new(first.into_iter().chain(texts.into_iter().map(|text| text.as_deref().map(str::as_bytes))))
}

/// Unpacks what [`pack`] packed.
pub fn unpack(mut fields: Fields<'_>) -> Connection {
    let access_token = Secret::new(fields.text().unwrap_or_default().to_owned());
    let expires_at = fields.bytes().and_then(|bytes| bytes.try_into().ok()).map(f64::from_le_bytes);
    let mut text = || fields.text().map(Box::from);
    // In the order in which they were packed.
    let details = Details {
        slug: text(),
        connection_id: text(),
        connector_name: text(),
        authorization_id: text(),
        authorization_status: text(),
        display_label: text(),
    };
    Connection { state: ConnectionState::Active { access_token, expires_at }, details }
}

fn packed_bytes(field: Option<&[u8]>) -> usize {
    let bits = usize::BITS - length_plus_one(field).leading_zeros();
    bits.div_ceil(LENGTH_BITS).max(1) as usize + field.map_or(0, <[u8]>::len)
}

fn length_plus_one(field: Option<&[u8]>) -> usize {
    field.map_or(0, |field| field.len() + 1)
}

fn pack_field(field: Option<&[u8]>, buffer: &mut Vec<u8>) {
    let mut length = length_plus_one(field);
    while length >> LENGTH_BITS > 0 {
        buffer.push(length as u8 | 1 << LENGTH_BITS);
        length >>= LENGTH_BITS;
    }
    buffer.push(length as u8);
    buffer.extend_from_slice(field.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_packed_and_take_no_byte_more() {
        for (length, prefix) in [(0, 1), (1, 1), (126, 1), (127, 2), (16_382, 2), (16_383, 3), (300_000, 3)] {
            let text = "x".repeat(length);
            let fields = [Some(text.as_bytes()), None, Some(&b""[..]), Some("né".as_bytes())];
            let packed = Packed::new(fields.into_iter());
            let mut read = packed.fields();
            assert_eq!([(); 4].map(|()| read.bytes()), fields);
            assert_eq!((read.bytes(), read.text()), (None, None));
            let size = prefix + length + 1 + 1 + 1 + "né".len();
            assert_eq!(packed.bytes().len(), size);
            assert_eq!(fields.map(packed_bytes).iter().sum::<usize>(), size, "no buffer grows");
        }
    }

    #[test]
    fn a_connection_is_unpacked_as_it_was() {
        for expires_at in [None, Some(1.7e12)] {
            let details = Details {
                slug: Some("slack".into()),
                connector_name: Some("".into()),
                authorization_status: Some("active".into()),
                display_label: Some("né".into()),
                ..Details::default()
            };
            let state = ConnectionState::Active { access_token: Secret::new("t".to_owned()), expires_at };
            let connection = Connection { state, details };
            assert_eq!(unpack(pack(&connection).fields()), connection);
        }
    }
}
