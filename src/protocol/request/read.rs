//! Requests that read.

crate::record! {
    /// exists (3).
    #[derive(Copy)]
    pub struct ExistsRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// Whether to set a watch: a data watch if it exists, an exists watch if not.
        pub watch: bool,
    }
}

crate::record! {
    /// getData (4).
    #[derive(Copy)]
    pub struct GetDataRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// Whether to set a data watch.
        pub watch: bool,
    }
}

crate::record! {
    /// getACL (6).
    #[derive(Copy)]
    pub struct GetAclRequest<'a> {
        /// The znode.
        pub path: &'a str,
    }
}

crate::record! {
    /// getChildren (8).
    #[derive(Copy)]
    pub struct GetChildrenRequest<'a> {
        /// The znode.
        pub path: &'a str,
        /// Whether to set a child watch.
        pub watch: bool,
    }
}

crate::record! {
    /// getChildren2 (12).
    #[derive(Copy)]
    pub struct GetChildren2Request<'a> {
        /// The znode.
        pub path: &'a str,
        /// Whether to set a child watch.
        pub watch: bool,
    }
}

crate::record! {
    /// sync (9).
    #[derive(Copy)]
    pub struct SyncRequest<'a> {
        /// Comes back in the answer; nothing else is made of it.
        pub path: Option<&'a str>,
    }
}

crate::record! {
    /// getEphemerals (103).
    #[derive(Copy)]
    pub struct GetEphemeralsRequest<'a> {
        /// Only those whose paths begin with it; null is all of them.
        pub prefix_path: Option<&'a str>,
    }
}

crate::record! {
    /// getAllChildrenNumber (104).
    #[derive(Copy)]
    pub struct GetAllChildrenNumberRequest<'a> {
        /// The znode.
        pub path: &'a str,
    }
}
