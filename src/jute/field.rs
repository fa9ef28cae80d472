//! Fields, and records made of them.

use super::{DecodeError, Decoder, Encode};

/// A type that can stand as a field of a record.
pub trait Field<'a>: Sized {
    /// The least that one of them takes; bounds what a vector's count may announce.
    const BYTES_MIN: usize;
    /// Reads one.
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError>;
    /// Writes one.
    fn put(&self, out: &mut Vec<u8>);
}

impl<'a> Field<'a> for i32 {
    const BYTES_MIN: usize = 4;
    #[inline]
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.i32()
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(*self);
    }
}

impl<'a> Field<'a> for i64 {
    const BYTES_MIN: usize = 8;
    #[inline]
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.i64()
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.put_i64(*self);
    }
}

impl<'a> Field<'a> for bool {
    const BYTES_MIN: usize = 1;
    #[inline]
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.bool()
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.put_bool(*self);
    }
}

/// Null is an error. ZooKeeper reads it, and stumbles over it a little later with the same answer
/// (MarshallingError); where it does not, the field is an `Option`.
impl<'a> Field<'a> for &'a str {
    const BYTES_MIN: usize = 4;
    #[inline]
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let offset = input.offset();
        input.string()?.ok_or(DecodeError::Null { what: "string", offset })
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.put_str(self);
    }
}

/// For the few strings where null is allowed or says something.
impl<'a> Field<'a> for Option<&'a str> {
    const BYTES_MIN: usize = 4;
    #[inline]
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.string()
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.put_buffer(self.map(str::as_bytes));
    }
}

/// A buffer; null and empty are kept apart, for a znode may hold either.
impl<'a> Field<'a> for Option<&'a [u8]> {
    const BYTES_MIN: usize = 4;
    #[inline]
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.buffer()
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.put_buffer(*self);
    }
}

/// A vector; null is an error.
impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    const BYTES_MIN: usize = 4;
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let offset = input.offset();
        let count = input.count(T::BYTES_MIN)?;
        let count = count.ok_or(DecodeError::Null { what: "vector", offset })?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::get(input)?);
        }
        Ok(items)
    }
    fn put(&self, out: &mut Vec<u8>) {
        out.put_count(self.len());
        for item in self {
            item.put(out);
        }
    }
}

/// Makes a struct a jute record: its fields are read and written in the order they are declared, each
/// by its [`Field`] implementation. Gives it `decode`, `encode` and `Field` itself.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident<$lt:lifetime> {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<$lt> { $($(#[$fmeta])* pub $field: $ty,)* }
        // Some records are only ever read, or only written.
        #[allow(dead_code)]
        impl<$lt> $name<$lt> {
            /// Reads one; its strings and buffers borrow from the input.
            #[inline]
            pub fn decode(
                input: &mut $crate::jute::Decoder<$lt>,
            ) -> Result<Self, $crate::jute::DecodeError> {
                $crate::jute::Field::get(input)
            }
            /// Appends its bytes.
            #[inline]
            pub fn encode(&self, out: &mut Vec<u8>) {
                $crate::jute::Field::put(self, out);
            }
        }
        $crate::record!(@field [$lt] [$name<$lt>] $($field: $ty,)*);
    };
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
        impl $name {
            /// Reads one.
            #[inline]
            pub fn decode(
                input: &mut $crate::jute::Decoder<'_>,
            ) -> Result<Self, $crate::jute::DecodeError> {
                $crate::jute::Field::get(input)
            }
            /// Appends its bytes.
            #[inline]
            pub fn encode(&self, out: &mut Vec<u8>) {
                $crate::jute::Field::put(self, out);
            }
        }
        $crate::record!(@field ['a] [$name] $($field: $ty,)*);
    };
    (@field [$lt:lifetime] [$name:ty] $($field:ident: $ty:ty,)*) => {
        impl<$lt> $crate::jute::Field<$lt> for $name {
            const BYTES_MIN: usize = 0 $(+ <$ty as $crate::jute::Field<$lt>>::BYTES_MIN)*;
            #[inline]
            fn get(
                input: &mut $crate::jute::Decoder<$lt>,
            ) -> Result<Self, $crate::jute::DecodeError> {
                Ok(Self { $($field: <$ty as $crate::jute::Field<$lt>>::get(input)?,)* })
            }
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::jute::Field::put(&self.$field, out);)*
            }
        }
    };
}
