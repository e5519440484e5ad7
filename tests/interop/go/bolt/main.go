// Command bolt checks a raft.db the way BoltDB itself does, says what is in it, and changes it,
// with the generation named: bolt (boltdb/bolt, as IPFS Cluster) or bbolt (raft-boltdb/v2).
//
//	bolt check  GENERATION FILE            JSON of the buckets, after BoltDB's own consistency check
//	bolt append GENERATION FILE FROM TO    put entries FROM..TO of 100 bytes, one transaction each
//	bolt delete GENERATION FILE FROM TO    delete them, in one transaction
package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/boltdb/bolt"
	"go.etcd.io/bbolt"
)

// database is what both generations have in common, as far as this program needs it.
type database interface {
	check() error
	each(bucket string, do func(k, v []byte) error) error
	change(do func(put func(k, v []byte) error, remove func(k []byte) error) error) error
	close() error
}

type oldBolt struct{ db *bolt.DB }

func (b oldBolt) check() error {
	return b.db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		return first
	})
}

func (b oldBolt) each(bucket string, do func(k, v []byte) error) error {
	return b.db.View(func(tx *bolt.Tx) error {
		found := tx.Bucket([]byte(bucket))
		if found == nil {
			return fmt.Errorf("no bucket %s", bucket)
		}
		return found.ForEach(do)
	})
}

func (b oldBolt) change(do func(put func(k, v []byte) error, remove func(k []byte) error) error) error {
	return b.db.Update(func(tx *bolt.Tx) error {
		logs := tx.Bucket([]byte("logs"))
		return do(logs.Put, logs.Delete)
	})
}

func (b oldBolt) close() error { return b.db.Close() }

type newBolt struct{ db *bbolt.DB }

func (b newBolt) check() error {
	return b.db.View(func(tx *bbolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		return first
	})
}

func (b newBolt) each(bucket string, do func(k, v []byte) error) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		found := tx.Bucket([]byte(bucket))
		if found == nil {
			return fmt.Errorf("no bucket %s", bucket)
		}
		return found.ForEach(do)
	})
}

func (b newBolt) change(do func(put func(k, v []byte) error, remove func(k []byte) error) error) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		logs := tx.Bucket([]byte("logs"))
		return do(logs.Put, logs.Delete)
	})
}

func (b newBolt) close() error { return b.db.Close() }

func open(generation, path string) (database, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err // BoltDB would make a new file
	}
	switch generation {
	case "bolt":
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
		return oldBolt{db}, err
	case "bbolt":
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
		return newBolt{db}, err
	}
	return nil, fmt.Errorf("%q is neither bolt nor bbolt", generation)
}

func dump(db database) error {
	if err := db.check(); err != nil {
		return fmt.Errorf("the file is not consistent: %w", err)
	}
	found := map[string]map[string]string{}
	for _, bucket := range []string{"logs", "conf"} {
		items := map[string]string{}
		found[bucket] = items
		if err := db.each(bucket, func(k, v []byte) error {
			items[hex.EncodeToString(k)] = hex.EncodeToString(v)
			return nil
		}); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func key(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func appendEntries(db database, first, last uint64) error {
	for index := first; index <= last; index++ {
		err := db.change(func(put func(k, v []byte) error, _ func(k []byte) error) error {
			return put(key(index), make([]byte, 100))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func deleteEntries(db database, first, last uint64) error {
	return db.change(func(_ func(k, v []byte) error, remove func(k []byte) error) error {
		for index := first; index <= last; index++ {
			if err := remove(key(index)); err != nil {
				return err
			}
		}
		return nil
	})
}

func run(args []string) error {
	if len(args) != 3 && len(args) != 5 {
		return fmt.Errorf("usage: bolt check|append|delete GENERATION FILE [FROM TO]")
	}
	db, err := open(args[1], args[2])
	if err != nil {
		return err
	}
	if args[0] == "check" {
		err = dump(db)
	} else {
		var first, last uint64
		if first, err = strconv.ParseUint(args[3], 10, 64); err != nil {
			return err
		}
		if last, err = strconv.ParseUint(args[4], 10, 64); err != nil {
			return err
		}
		if args[0] == "append" {
			err = appendEntries(db, first, last)
		} else {
			err = deleteEntries(db, first, last)
		}
	}
	if err != nil {
		_ = db.close()
		return err
	}
	return db.close()
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bolt:", err)
		os.Exit(1)
	}
}
