//! The bench's statements by scylla-rust-driver. A line of standard input ("select 256 6000": what, in flight, how
//! many) is one block; a line of JSON says what it took this process.

use std::env;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::future::{BoxFuture, try_join_all};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlTimestamp, Row};
use uuid::Uuid;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const INSERT_USER: &str =
    "INSERT INTO effect_cassandra_bench.users (id, name, age, balance, tags, joined) VALUES (?, ?, ?, ?, ?, ?)";
const SELECT_USER: &str = "SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users WHERE id = ?";
const SELECT_ROWS: &str = "SELECT sensor, at, place, value, sequence FROM effect_cassandra_bench.readings";

type User = (Uuid, String, i32, f64, Vec<String>, CqlTimestamp);

/// The users of bench/tables.ts.
fn make_users() -> Vec<User> {
    let first_day = 1_767_225_600_000_i64;
    (0..5000_i64)
        .map(|index| {
            let id = format!("00000000-0000-4000-8000-{index:012x}");
            let tags = vec![
                format!("team-{}", index % 12),
                format!("floor-{}", index % 5),
                "member".to_owned(),
            ];
            (
                Uuid::parse_str(&id).expect("a uuid"),
                format!("user number {index}"),
                18 + (index % 80) as i32,
                index as f64 / 7.0,
                tags,
                CqlTimestamp(first_day + index * 1000),
            )
        })
        .collect()
}

struct Bench {
    session: Session,
    users: Vec<User>,
    insert: PreparedStatement,
    select: PreparedStatement,
    claim: PreparedStatement,
    rows: PreparedStatement,
}

type Operation = for<'a> fn(&'a Bench, &'a User) -> BoxFuture<'a, Result<f64, Failure>>;

fn insert<'a>(bench: &'a Bench, user: &'a User) -> BoxFuture<'a, Result<f64, Failure>> {
    Box::pin(async move {
        bench.session.execute_unpaged(&bench.insert, user).await?;
        Ok(1.0)
    })
}

fn select<'a>(bench: &'a Bench, user: &'a User) -> BoxFuture<'a, Result<f64, Failure>> {
    Box::pin(async move {
        let result = bench.session.execute_unpaged(&bench.select, (user.0,)).await?;
        let found: User = result.into_rows_result()?.single_row()?;
        Ok(f64::from(found.2))
    })
}

/// Never applied: the row is there, and comes back, `[applied]` first and then the columns by their place in the table.
fn claim<'a>(bench: &'a Bench, user: &'a User) -> BoxFuture<'a, Result<f64, Failure>> {
    Box::pin(async move {
        let result = bench.session.execute_unpaged(&bench.claim, user).await?;
        let found: Row = result.into_rows_result()?.single_row()?;
        let age = found.columns[2].as_ref().and_then(|value| value.as_int());
        Ok(f64::from(age.unwrap_or(0)))
    })
}

impl Bench {
    async fn connect() -> Result<Bench, Failure> {
        let port = env::var("CASSANDRA_PORT")?;
        let nodes: Vec<String> = env::var("CASSANDRA_CONTACT_POINTS")?
            .split(',')
            .map(|host| format!("{host}:{port}"))
            .collect();
        // As it comes, with the consistency that the others have by default.
        let profile = ExecutionProfile::builder().consistency(Consistency::LocalOne).build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&nodes)
            .default_execution_profile_handle(profile.into_handle());
        if let Ok(name) = env::var("CASSANDRA_USERNAME") {
            builder = builder.user(name, env::var("CASSANDRA_PASSWORD")?);
        }
        let session = builder.build().await?;
        Ok(Bench {
            users: make_users(),
            insert: session.prepare(INSERT_USER).await?,
            select: session.prepare(SELECT_USER).await?,
            claim: session.prepare(format!("{INSERT_USER} IF NOT EXISTS")).await?,
            rows: session.prepare(SELECT_ROWS).await?,
            session,
        })
    }

    async fn stream(&self) -> Result<f64, Failure> {
        let mut sum = 0.0;
        let mut rows = self
            .session
            .execute_iter(self.rows.clone(), ())
            .await?
            .rows_stream::<(i32, CqlTimestamp, String, f64, i64)>()?;
        while let Some((_, _, _, value, _)) = rows.try_next().await? {
            sum += value;
        }
        Ok(sum)
    }

    /// So many tasks, each of which asks again when it has its answer.
    async fn keep(
        self: &Arc<Self>,
        ask: Operation,
        in_flight: usize,
        count: usize,
    ) -> Result<(f64, Vec<Duration>), Failure> {
        let next = Arc::new(AtomicUsize::new(0));
        let workers = (0..in_flight).map(|_| {
            let bench = Arc::clone(self);
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(count / in_flight + 1);
                let mut sum = 0.0_f64;
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return Ok::<_, Failure>((sum, took));
                    }
                    let from = Instant::now();
                    let found = ask(&bench, &bench.users[(index * 2003) % bench.users.len()]).await?;
                    took.push(from.elapsed());
                    sum += found;
                }
            })
        });
        let mut all = (0.0, Vec::with_capacity(count));
        for done in try_join_all(workers).await? {
            let (sum, took) = done?;
            all.0 += sum;
            all.1.extend(took);
        }
        Ok(all)
    }

    async fn block(self: &Arc<Self>, what: &str, in_flight: usize, count: usize) -> Result<String, Failure> {
        let cpu = cpu_micros();
        let from = Instant::now();
        let (found, took) = match what {
            "insert" => self.keep(insert, in_flight, count).await?,
            "select" => self.keep(select, in_flight, count).await?,
            "lwt" => self.keep(claim, in_flight, count).await?,
            _ => (self.stream().await?, Vec::new()),
        };
        let seconds = from.elapsed().as_secs_f64();
        let spent = cpu_micros() - cpu;
        let quantiles = quantiles(took);
        Ok(format!(
            r#"{{"found":{found},"seconds":{seconds},"cpuMicros":{spent}{quantiles}}}"#
        ))
    }
}

fn quantiles(mut took: Vec<Duration>) -> String {
    if took.is_empty() {
        return String::new();
    }
    took.sort();
    let at = |part: f64| took[(part * took.len() as f64) as usize].as_secs_f64() * 1000.0;
    format!(r#","p50":{},"p99":{}"#, at(0.5), at(0.99))
}

fn cpu_micros() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let bench = Arc::new(Bench::connect().await?);
    println!(r#""ready""#);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let &[what, in_flight, count] = words.as_slice() else {
            return Err(format!("not understood: {line}").into());
        };
        println!("{}", bench.block(what, in_flight.parse()?, count.parse()?).await?);
    }
    Ok(())
}
