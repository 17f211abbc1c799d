// The bench's statements by gocql. A line of standard input ("select 256 6000": what, in flight, how many) is one
// block; a line of JSON says what it took this process.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	insertUser = "INSERT INTO effect_cassandra_bench.users (id, name, age, balance, tags, joined) VALUES (?, ?, ?, ?, ?, ?)"
	selectUser = "SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users WHERE id = ?"
	selectRows = "SELECT sensor, at, place, value, sequence FROM effect_cassandra_bench.readings"
)

type user struct {
	id      gocql.UUID
	name    string
	age     int32
	balance float64
	tags    []string
	joined  time.Time
}

// The users of bench/tables.ts.
func makeUsers() []user {
	firstDay := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	users := make([]user, 5000)
	for index := range users {
		id, err := gocql.ParseUUID(fmt.Sprintf("00000000-0000-4000-8000-%012x", index))
		mustNot(err)
		users[index] = user{
			id:      id,
			name:    fmt.Sprintf("user number %d", index),
			age:     int32(18 + index%80),
			balance: float64(index) / 7,
			tags:    []string{fmt.Sprintf("team-%d", index%12), fmt.Sprintf("floor-%d", index%5), "member"},
			joined:  firstDay.Add(time.Duration(index) * time.Second),
		}
	}
	return users
}

type bench struct {
	session *gocql.Session
	users   []user
}

type operation func(u *user) (float64, error)

func (b *bench) insert(u *user) (float64, error) {
	return 1, b.session.Query(insertUser, u.id, u.name, u.age, u.balance, u.tags, u.joined).Exec()
}

func (b *bench) selectByKey(u *user) (float64, error) {
	var found user
	err := b.session.Query(selectUser, u.id).
		Scan(&found.id, &found.name, &found.age, &found.balance, &found.tags, &found.joined)
	return float64(found.age), err
}

func (b *bench) claim(u *user) (float64, error) {
	var found user
	// Columns come in the order of the table: its key, then by name.
	applied, err := b.session.Query(insertUser+" IF NOT EXISTS", u.id, u.name, u.age, u.balance, u.tags, u.joined).
		ScanCAS(&found.id, &found.age, &found.balance, &found.joined, &found.name, &found.tags)
	if applied {
		return 0, err
	}
	return float64(found.age), err
}

func (b *bench) stream() float64 {
	var (
		sensor   int32
		at       time.Time
		place    string
		value    float64
		sequence int64
		sum      float64
	)
	rows := b.session.Query(selectRows).PageSize(5000).Iter()
	for rows.Scan(&sensor, &at, &place, &value, &sequence) {
		sum += value
	}
	mustNot(rows.Close())
	return sum
}

type answer struct {
	Found     float64  `json:"found"`
	Seconds   float64  `json:"seconds"`
	CPUMicros int64    `json:"cpuMicros"`
	P50       *float64 `json:"p50,omitempty"`
	P99       *float64 `json:"p99,omitempty"`
}

// So many goroutines, each of which asks again when it has its answer.
func (b *bench) keep(ask operation, inFlight int, count int) (float64, []time.Duration) {
	var next atomic.Int64
	var all sync.WaitGroup
	took := make([]time.Duration, count)
	sums := make([]float64, inFlight)
	for worker := range inFlight {
		all.Go(func() {
			for {
				index := int(next.Add(1)) - 1
				if index >= count {
					return
				}
				from := time.Now()
				found, err := ask(&b.users[(index*2003)%len(b.users)])
				took[index] = time.Since(from)
				mustNot(err)
				sums[worker] += found
			}
		})
	}
	all.Wait()
	sum := 0.0
	for _, each := range sums {
		sum += each
	}
	return sum, took
}

func (b *bench) block(what string, inFlight int, count int) answer {
	operations := map[string]operation{"insert": b.insert, "select": b.selectByKey, "lwt": b.claim}
	var took []time.Duration
	var done answer
	cpu := cpuMicros()
	from := time.Now()
	if ask, found := operations[what]; found {
		done.Found, took = b.keep(ask, inFlight, count)
	} else {
		done.Found = b.stream()
	}
	done.Seconds = time.Since(from).Seconds()
	done.CPUMicros = cpuMicros() - cpu
	if took != nil {
		sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
		done.P50, done.P99 = quantile(took, 0.5), quantile(took, 0.99)
	}
	return done
}

func quantile(sorted []time.Duration, part float64) *float64 {
	millis := float64(sorted[int(part*float64(len(sorted)))]) / 1e6
	return &millis
}

func cpuMicros() int64 {
	var usage syscall.Rusage
	mustNot(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return (usage.Utime.Sec+usage.Stime.Sec)*1_000_000 + usage.Utime.Usec + usage.Stime.Usec
}

// gocql as it comes, with the consistency that the others have by default.
func connect() *gocql.Session {
	cluster := gocql.NewCluster(strings.Split(os.Getenv("CASSANDRA_CONTACT_POINTS"), ",")...)
	port, err := strconv.Atoi(os.Getenv("CASSANDRA_PORT"))
	mustNot(err)
	cluster.Port = port
	cluster.Consistency = gocql.LocalOne
	if name := os.Getenv("CASSANDRA_USERNAME"); name != "" {
		cluster.Authenticator = gocql.PasswordAuthenticator{Username: name, Password: os.Getenv("CASSANDRA_PASSWORD")}
	}
	session, err := cluster.CreateSession()
	mustNot(err)
	return session
}

func mustNot(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gocql:", err)
		os.Exit(1)
	}
}

func main() {
	b := bench{session: connect(), users: makeUsers()}
	defer b.session.Close()
	fmt.Println(`"ready"`)
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var what string
		var inFlight, count int
		_, err := fmt.Sscan(lines.Text(), &what, &inFlight, &count)
		mustNot(err)
		mustNot(out.Encode(b.block(what, inFlight, count)))
	}
}
