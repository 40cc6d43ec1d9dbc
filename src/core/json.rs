//! `Object<T>` accepts JSON objects only; derived structs also accept arrays
//! (<https://github.com/serde-rs/serde/issues/1587>).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The value of a JSON object.
#[derive(Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOnly<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectOnly(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Pair {
        first: u8,
    }

    #[test]
    fn a_list_is_no_object_although_a_derived_struct_takes_one() {
        assert_eq!(serde_json::from_str::<Pair>("[7]").unwrap().first, 7);
        assert!(serde_json::from_str::<Object<Pair>>("[7]").is_err());
        assert_eq!(serde_json::from_str::<Object<Pair>>(r#"{"first":7,"x":[]}"#).unwrap().0.first, 7);
    }
}
