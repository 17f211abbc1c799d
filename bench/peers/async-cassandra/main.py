"""The bench's statements by async-cassandra. A line of standard input ("select 256 6000": what, in flight, how many) is
one block; a line of JSON says what it took this process."""

import asyncio
import json
import os
import resource
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone

from async_cassandra import AsyncCluster, StreamConfig
from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider

INSERT_USER = (
    "INSERT INTO effect_cassandra_bench.users (id, name, age, balance, tags, joined) VALUES (?, ?, ?, ?, ?, ?)"
)
SELECT_USER = "SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users WHERE id = ?"
SELECT_ROWS = "SELECT sensor, at, place, value, sequence FROM effect_cassandra_bench.readings"


def make_users():
    """The users of bench/tables.ts."""
    first_day = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return [
        (
            uuid.UUID(f"00000000-0000-4000-8000-{index:012x}"),
            f"user number {index}",
            18 + index % 80,
            index / 7,
            {f"team-{index % 12}", f"floor-{index % 5}", "member"},
            first_day + timedelta(seconds=index),
        )
        for index in range(5000)
    ]


class Bench:
    async def connect(self):
        name = os.environ.get("CASSANDRA_USERNAME")
        cluster = AsyncCluster(
            contact_points=os.environ["CASSANDRA_CONTACT_POINTS"].split(","),
            port=int(os.environ["CASSANDRA_PORT"]),
            auth_provider=name and PlainTextAuthProvider(name, os.environ["CASSANDRA_PASSWORD"]),
        )
        self.users = make_users()
        self.session = await cluster.connect()
        self.insert_user = await self.prepare(INSERT_USER)
        self.select_user = await self.prepare(SELECT_USER)
        self.claim_user = await self.prepare(INSERT_USER + " IF NOT EXISTS")
        self.select_rows = await self.prepare(SELECT_ROWS)

    async def prepare(self, text):
        statement = await self.session.prepare(text)
        # What the others have by default, and this one too.
        statement.consistency_level = ConsistencyLevel.LOCAL_ONE
        return statement

    async def insert(self, user):
        await self.session.execute(self.insert_user, user)
        return 1

    async def select(self, user):
        result = await self.session.execute(self.select_user, (user[0],))
        return result.one().age

    async def lwt(self, user):
        result = await self.session.execute(self.claim_user, user)
        row = result.one()
        return 0 if row[0] else row.age

    async def stream(self):
        total = 0
        config = StreamConfig(fetch_size=5000)
        async with await self.session.execute_stream(self.select_rows, stream_config=config) as rows:
            async for row in rows:
                total += row.value
        return total

    async def keep(self, ask, in_flight, count):
        """So many tasks, each of which asks again when it has its answer."""
        users = self.users
        indexes = iter(range(count))
        took = []

        async def worker():
            found = 0
            for index in indexes:
                begun = time.perf_counter()
                found += await ask(users[index * 2003 % len(users)])
                took.append(time.perf_counter() - begun)
            return found

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(worker()) for _ in range(in_flight)]
        return sum(each.result() for each in workers), took

    async def block(self, what, in_flight, count):
        asks = {"insert": self.insert, "select": self.select, "lwt": self.lwt}
        took = []
        cpu = cpu_micros()
        begun = time.perf_counter()
        if what in asks:
            found, took = await self.keep(asks[what], in_flight, count)
        else:
            found = await self.stream()
        seconds = time.perf_counter() - begun
        done = {"found": found, "seconds": seconds, "cpuMicros": cpu_micros() - cpu}
        return done | quantiles(took)


def quantiles(took):
    if not took:
        return {}
    took.sort()
    return {"p50": took[len(took) // 2] * 1000, "p99": took[int(len(took) * 0.99)] * 1000}


def cpu_micros():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round((usage.ru_utime + usage.ru_stime) * 1_000_000)


async def main():
    bench = Bench()
    await bench.connect()
    print('"ready"', flush=True)
    for line in sys.stdin:
        what, in_flight, count = line.split()
        try:
            done = await bench.block(what, int(in_flight), int(count))
        except* Exception as failed:
            done = {"failed": repr(failed.exceptions[0])}
        print(json.dumps(done), flush=True)
    # Closing would take ten seconds.
    os._exit(0)


asyncio.run(main())
