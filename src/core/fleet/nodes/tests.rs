//! The way to a node, over sockets of this machine.

use std::sync::Mutex;

use futures_util::join;
use rustls::RootCertStore;
use rustls::crypto::ring;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::core::fleet::settings::RedisOptions;

/// A server that speaks the protocol of Redis. It notes the commands.
struct Node {
    port: u16,
    reply: Arc<Mutex<String>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// Gives this reply to every command; stays silent once something is no command.
    async fn start(reply: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, commands) = (listener.local_addr().unwrap().port(), Arc::default());
        let reply = Arc::new(Mutex::new(reply));
        let (noted, given) = (Arc::clone(&commands), Arc::clone(&reply));
        Handle::current().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                Handle::current().spawn(serve(stream, Arc::clone(&given), Arc::clone(&noted)));
            }
        });
        Self { port, reply, commands }
    }

    fn replies(&self, reply: &str) {
        reply.clone_into(&mut self.reply.lock().unwrap());
    }

    fn takes(&self) -> Vec<String> {
        std::mem::take(&mut *self.commands.lock().unwrap())
    }
}

async fn serve(stream: TcpStream, reply: Arc<Mutex<String>>, commands: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        stream.read_until(b'\n', &mut lines).await.unwrap();
        let parts: Option<usize> =
            str::from_utf8(&lines).ok().and_then(|line| line.strip_prefix('*')?.trim().parse().ok());
        let mut words: Vec<String> = Vec::new();
        match parts {
            Some(parts) => {
                for _ in 0..2 * parts {
                    let mut word = String::new();
                    stream.read_line(&mut word).await.unwrap();
                    words.push(word.trim_end().to_owned());
                }
            }
            // Without RESP, as the check for a plain port sends it.
            None if lines == b"PING\r\n" => {}
            None => pending().await,
        }
        words.retain(|word| !word.starts_with('$'));
        commands.lock().unwrap().push(words.join(" "));
        let reply = reply.lock().unwrap().clone();
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
}

fn nodes(url: &str, tls: Option<ClientConfig>) -> Nodes {
    let options = RedisOptions::at(url);
    Nodes::new(options.check().unwrap(), tls)
}

async fn connects(nodes: &Nodes) -> Result<(), RedisFailure> {
    nodes.connect(None, &Stage::default()).await.map(drop)
}

#[tokio::test]
async fn a_single_node_gets_the_login_and_the_database_and_no_more() {
    let node = Node::start("+OK\r\n".to_owned()).await;
    let port = node.port;
    for (url, commands) in [
        (format!("redis://127.0.0.1:{port}"), &[][..]),
        (format!("redis://:secret@127.0.0.1:{port}/3"), &["AUTH secret", "SELECT 3"][..]),
    ] {
        connects(&nodes(&url, None)).await.unwrap();
        assert_eq!(node.takes(), commands);
    }
}

#[tokio::test]
async fn one_of_several_nodes_has_to_answer_and_is_tried_first_the_next_time() {
    const LOADING: &str = "-LOADING not yet\r\n";
    const PONG: &str = "+PONG\r\n";
    let [first, second, third] = [LOADING, LOADING, PONG].map(|reply| Node::start(reply.to_owned()));
    let (first, second, third) = join!(first, second, third);
    let url = "redis-cluster://127.0.0.1:";
    let url = format!("{url}{}?node=127.0.0.1:{}&node=127.0.0.1:{}", first.port, second.port, third.port);
    let nodes = nodes(&url, None);
    let asked = || [&first, &second, &third].map(|node| node.takes().len());
    connects(&nodes).await.unwrap();
    assert_eq!(third.commands.lock().unwrap()[..], ["PING"]);
    assert_eq!(asked(), [1, 1, 1]);
    connects(&nodes).await.unwrap();
    assert_eq!(asked(), [0, 0, 1]);
    first.replies(PONG);
    third.replies(LOADING);
    connects(&nodes).await.unwrap();
    assert_eq!(asked(), [1, 0, 1], "the others follow in their order");
}

#[tokio::test(start_paused = true)]
async fn silent_nodes_are_passed_over_in_seconds_however_many_they_are() {
    let (silent, node) = join!(Node::start(String::new()), Node::start("+PONG\r\n".to_owned()));
    let more = format!("node=127.0.0.1:{}&", silent.port).repeat(38);
    let url = format!("redis-cluster://127.0.0.1:{}?{more}node=127.0.0.1:{}", silent.port, node.port);
    let start = Instant::now();
    connects(&nodes(&url, None)).await.unwrap();
    assert!(start.elapsed() < 2 * ALL_NODES, "{:?}", start.elapsed());
    assert_eq!(node.takes(), ["PING"]);
}

#[tokio::test]
async fn a_connection_that_is_dropped_ends_although_redis_has_not_read_all_of_a_command() {
    const LENGTH: usize = 16 << 20;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nodes = nodes(&format!("redis://{}", listener.local_addr().unwrap()), None);
    let stage = Stage::default();
    let (connection, accepted) = join!(nodes.connect(None, &stage), listener.accept());
    let (connection, (mut stream, _)) = (connection.unwrap(), accepted.unwrap());
    let mut received = Vec::new();
    {
        let mut command = redis::cmd("ECHO");
        let reply = connection.send(command.arg(vec![b'x'; LENGTH]));
        let sent = pin!(stream.read_buf(&mut received));
        assert!(matches!(select(reply, sent).await, Either::Right(_)));
    }
    drop(connection);
    let ended = timeout(Duration::from_secs(60), stream.read_to_end(&mut received));
    ended.await.expect("the connection has ended").unwrap();
    assert!(received.len() < LENGTH, "{}", received.len());
}

#[tokio::test]
async fn a_sentinel_names_the_redis() {
    let node = Node::start("+OK\r\n".to_owned()).await;
    let port = node.port.to_string();
    let address = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
    for (reply, expected) in [
        (address, Ok(())),
        ("*-1\r\n".to_owned(), Err(RedisFailure::lasting("the Sentinel knows no Redis of that name"))),
        (":1\r\n".to_owned(), Err(RedisFailure::strange_answer())),
    ] {
        let sentinel = Node::start(reply).await;
        let url = format!("redis-sentinel://127.0.0.1:{}/2?master=main", sentinel.port);
        assert_eq!(connects(&nodes(&url, None)).await, expected);
        assert_eq!(sentinel.takes()[0], "SENTINEL GET-MASTER-ADDR-BY-NAME main");
        let selected = if expected.is_ok() { vec!["SELECT 2".to_owned()] } else { vec![] };
        assert_eq!(node.takes(), selected);
    }
}

#[tokio::test]
async fn a_plain_port_is_told_from_a_server_that_is_slow_with_tls() {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    for (reply, failure) in [("+PONG\r\n", Some(RedisFailure::lasting(PLAIN_PORT))), ("", None)] {
        let node = Node::start(reply.to_owned()).await;
        let nodes = nodes(&format!("rediss://127.0.0.1:{}", node.port), Some(config.clone()));
        let limit = if failure.is_some() { Duration::from_secs(60) } else { Duration::from_millis(200) };
        let connected = timeout(limit, connects(&nodes)).await;
        assert_eq!(connected.ok().and_then(Result::err), failure);
    }
}
