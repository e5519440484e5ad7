package main

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"
)

type benchArgs struct {
	WarmUpS  float64 `json:"warm_up_s"`
	Seconds  float64 `json:"seconds"`
	Bytes    int     `json:"bytes"`
	InFlight int     `json:"in_flight"`
}

// bench runs a closed loop of in_flight clients inside the leader: each proposes, waits until
// the command is committed and applied here, and proposes again. What started before the
// warm-up ended is not counted.
func bench(p *peerNode, args benchArgs) (any, error) {
	if args.InFlight < 1 || args.Bytes < 1 || args.Seconds <= 0 {
		return nil, errors.New("bench needs seconds, bytes and in_flight")
	}
	payload := make([]byte, args.Bytes)
	if _, err := rand.Read(payload); err != nil {
		return nil, err
	}
	start := time.Now().Add(seconds(args.WarmUpS))
	end := start.Add(seconds(args.Seconds))
	took := make([][]time.Duration, args.InFlight)
	errs := make([]error, args.InFlight)
	var clients sync.WaitGroup
	for i := range args.InFlight {
		clients.Go(func() { took[i], errs[i] = client(p, payload, start, end) })
	}
	clients.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return nil, errors.New("nothing was committed in time")
	}
	slices.Sort(all)
	return map[string]any{
		"commits": len(all), "seconds": elapsed.Seconds(),
		"commits_per_s": float64(len(all)) / elapsed.Seconds(),
		"p50_us":        all[len(all)/2].Microseconds(),
		"p99_us":        all[len(all)*99/100].Microseconds(),
	}, nil
}

func client(p *peerNode, payload []byte, start, end time.Time) ([]time.Duration, error) {
	var took []time.Duration
	for {
		began := time.Now()
		if began.After(end) {
			return took, nil
		}
		if err := p.raft.Apply(payload, enqueueTimeout).Error(); err != nil {
			return nil, err
		}
		if began.After(start) {
			took = append(took, time.Since(began))
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
