//! The errors a reply can carry (`KeeperException.Code`).

macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)*) => {
        /// The `err` of a reply header, or of a multi's result. The names are those of `KeeperException.Code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum ErrorCode { $($(#[$meta])* $name = $code,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The error that a number stands for.
            pub fn from_i32(code: i32) -> Option<ErrorCode> {
                match code {
                    $($code => Some(ErrorCode::$name),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// No error.
    Ok = 0,
    /// A fault of the server; never thrown by it, marks the range.
    SystemError = -1,
    /// An operation of a multi that came after the one that failed.
    RuntimeInconsistency = -2,
    /// The server found its data inconsistent.
    DataInconsistency = -3,
    /// The connection was lost; made by clients.
    ConnectionLoss = -4,
    /// The request's bytes are not a request.
    MarshallingError = -5,
    /// The server does not know or does not allow the operation.
    Unimplemented = -6,
    /// The operation took too long; made by clients.
    OperationTimeout = -7,
    /// An argument is invalid.
    BadArguments = -8,
    /// The session is not known to this server; made by clients.
    UnknownSession = -12,
    /// No quorum of the new configuration is connected and up to date.
    NewConfigNoQuorum = -13,
    /// Another reconfiguration is under way.
    ReconfigInProgress = -14,
    /// Marks the range of errors that the API shows.
    ApiError = -100,
    /// The znode does not exist.
    NoNode = -101,
    /// The ACL does not allow it.
    NoAuth = -102,
    /// The version is not the expected one.
    BadVersion = -103,
    /// Ephemeral znodes have no children.
    NoChildrenForEphemerals = -108,
    /// The znode exists.
    NodeExists = -110,
    /// The znode has children.
    NotEmpty = -111,
    /// The session has expired.
    SessionExpired = -112,
    /// A client's callback is invalid; made by clients.
    InvalidCallback = -113,
    /// The ACL is empty, or names a scheme or id that is none.
    InvalidAcl = -114,
    /// Authentication failed.
    AuthFailed = -115,
    /// The session has moved to another server or connection.
    SessionMoved = -118,
    /// The server is read-only.
    NotReadOnly = -119,
    /// A local session asked for an ephemeral znode.
    EphemeralOnLocalSession = -120,
    /// There is no such watch.
    NoWatcher = -121,
    /// The request took too long; made by clients.
    RequestTimeout = -122,
    /// Reconfiguration is turned off.
    ReconfigDisabled = -123,
    /// The session was closed because it has to authenticate with SASL.
    SessionClosedRequireSaslAuth = -124,
    /// The write would exceed a quota.
    QuotaExceeded = -125,
    /// The request waited too long in the server's queues.
    ThrottledOp = -127,
}

impl ErrorCode {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Whether this is no error.
    pub fn is_ok(self) -> bool {
        self == ErrorCode::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_errors_match_both_ways() {
        for error in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_i32(error.code()), Some(*error));
        }
        assert_eq!(ErrorCode::from_i32(-126), None);
        assert_eq!(ErrorCode::from_i32(-104), None);
    }
}
