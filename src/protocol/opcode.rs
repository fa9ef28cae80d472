//! What a request asks for (`ZooDefs.OpCode`).

macro_rules! opcodes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A request's type. The names are those of `ZooDefs.OpCode`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum OpCode { $($(#[$meta])* $name = $code,)* }

        impl OpCode {
            /// Every opcode, in the order of declaration.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$name,)*];

            /// The opcode that a number stands for.
            pub fn from_i32(code: i32) -> Option<OpCode> {
                match code {
                    $($code => Some(OpCode::$name),)*
                    _ => None,
                }
            }

            /// The name that ZooKeeper's logs and metrics use.
            pub fn name(self) -> &'static str {
                match self { $(OpCode::$name => $text,)* }
            }
        }
    };
}

opcodes! {
    /// What a watch event's frame would carry; no client sends it.
    Notification = 0, "notification";
    /// Makes a znode; the answer is its path.
    Create = 1, "create";
    /// Deletes a znode without children.
    Delete = 2, "delete";
    /// Reads a Stat, may set an exists watch.
    Exists = 3, "exists";
    /// Reads data and Stat, may set a data watch.
    GetData = 4, "getData";
    /// Replaces the data.
    SetData = 5, "setData";
    /// Reads the ACL.
    GetAcl = 6, "getACL";
    /// Replaces the ACL.
    SetAcl = 7, "setACL";
    /// Lists the children, may set a child watch.
    GetChildren = 8, "getChildren";
    /// Waits until what was committed before is applied here.
    Sync = 9, "sync";
    /// Keeps a session alive.
    Ping = 11, "ping";
    /// Lists the children with the parent's Stat.
    GetChildren2 = 12, "getChildren2";
    /// Compares a version, inside a multi.
    Check = 13, "check";
    /// Several writes as one transaction.
    Multi = 14, "multi";
    /// Makes a znode; the answer is its path and Stat.
    Create2 = 15, "create2";
    /// Changes the ensemble's members.
    Reconfig = 16, "reconfig";
    /// Asks whether a watch is set.
    CheckWatches = 17, "checkWatches";
    /// Takes watches away.
    RemoveWatches = 18, "removeWatches";
    /// Makes a container znode.
    CreateContainer = 19, "createContainer";
    /// Reaps an empty container or an expired TTL znode; the server's own.
    DeleteContainer = 20, "deleteContainer";
    /// Makes a znode that goes when it has been unused for long enough.
    CreateTtl = 21, "createTTL";
    /// Several reads of one zxid.
    MultiRead = 22, "multiRead";
    /// Adds an identity to the connection.
    Auth = 100, "auth";
    /// Sets watches again after a reconnect.
    SetWatches = 101, "setWatches";
    /// A step of SASL.
    Sasl = 102, "sasl";
    /// Lists the session's ephemeral znodes.
    GetEphemerals = 103, "getEphemerals";
    /// Counts all descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    /// Sets watches again after a reconnect, persistent ones too.
    SetWatches2 = 105, "setWatches2";
    /// Adds a persistent watch.
    AddWatch = 106, "addWatch";
    /// Lists the connection's identities.
    WhoAmI = 107, "whoAmI";
    /// Opens a session; the server's own.
    CreateSession = -10, "createSession";
    /// Closes a session.
    CloseSession = -11, "closeSession";
    /// A failed transaction; never a request.
    Error = -1, "error";
}

impl OpCode {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Whether the request becomes a transaction.
    pub fn is_write(self) -> bool {
        use OpCode::*;
        matches!(
            self,
            Create
                | Create2
                | CreateContainer
                | CreateTtl
                | Delete
                | DeleteContainer
                | SetData
                | SetAcl
                | Check
                | Multi
                | Reconfig
                | CreateSession
                | CloseSession
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_opcodes_match_both_ways() {
        for op in OpCode::ALL {
            assert_eq!(OpCode::from_i32(op.code()), Some(*op));
        }
        assert_eq!(OpCode::from_i32(10), None);
        assert_eq!(OpCode::from_i32(108), None);
        assert_eq!(OpCode::ALL.len(), 33);
    }
}
