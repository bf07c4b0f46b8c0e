//! Both stores keep every promise of the conformance suite.

use std::sync::Arc;

use hub_store::conformance::PROMISES;
use hub_store::{MemoryStore, Scope, SledConfig, SledStore, Store};

#[tokio::test]
async fn the_store_in_memory_keeps_every_promise() {
    for promise in PROMISES {
        println!("{}", promise.name);
        promise.check(Arc::new(MemoryStore::new())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_on_disk_keeps_every_promise_and_opens_again_with_the_same_content() {
    for promise in PROMISES {
        println!("{}", promise.name);
        let directory = tempfile::tempdir().unwrap();
        let config = SledConfig { ballast_bytes: 0, ..SledConfig::default() };
        let store = Arc::new(SledStore::open(directory.path(), config.clone()).unwrap());
        promise.check(store.clone()).await;
        let before = store.check(Scope::Full).await.unwrap();
        assert_eq!(before.damages, [], "{}", promise.name);
        drop(Arc::into_inner(store).expect("the promise has given its handle back"));
        let unsynced = std::fs::read_dir(directory.path().join("sled/blobs")).unwrap().count();
        assert_eq!(unsynced, 0, "{}: the engine wrote pages to files that it does not sync", promise.name);
        let again = SledStore::open(directory.path(), config).unwrap().check(Scope::Full).await.unwrap();
        assert_eq!((again.records, again.blobs, again.damages), (before.records, before.blobs, Vec::new()), "{}", promise.name);
    }
}
