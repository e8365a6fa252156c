package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Ends of a network measurement, which this program is inside a container or on the host.
const (
	sinkPort = "5201"
	sendTime = 2 * time.Second
)

// networkEnd is one end: "sink"; "send ADDRESS STREAMS", which prints Gbit/s; "lookup NAME", which prints the median in ms.
func networkEnd(args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "sink":
		return sink()
	case len(args) == 3 && args[0] == "send":
		streams, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		gbits, err := send(args[1], streams)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%.3f\n", gbits)
		return err
	case len(args) == 2 && args[0] == "lookup":
		ms, err := lookup(args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%.4f\n", ms)
		return err
	}
	return errors.New("-net wants sink, send ADDRESS STREAMS or lookup NAME")
}

// sink swallows what is sent to it and answers each connection's end with the number of bytes.
func sink() error {
	l, err := net.Listen("tcp", ":"+sinkPort)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 256<<10)
			var got int64
			for {
				n, err := conn.Read(buffer)
				got += int64(n)
				if err != nil {
					break
				}
			}
			fmt.Fprintln(conn, got)
		}()
	}
}

// send returns how much arrived at the sink, in Gbit/s.
func send(address string, streams int) (gbits float64, err error) {
	type arrived struct {
		bytes int64
		err   error
	}
	all := make(chan arrived)
	start := time.Now()
	for range streams {
		go func() {
			n, err := stream(address)
			all <- arrived{n, err}
		}()
	}
	var total int64
	for range streams {
		a := <-all
		total += a.bytes
		err = errors.Join(err, a.err)
	}
	return float64(total) * 8 / time.Since(start).Seconds() / 1e9, err
}

func stream(address string) (arrived int64, err error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(sendTime + 20*time.Second))
	block := make([]byte, 256<<10)
	for end := time.Now().Add(sendTime); time.Now().Before(end); {
		if _, err := conn.Write(block); err != nil {
			return 0, err
		}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	_, err = fmt.Fscan(conn, &arrived)
	return arrived, err
}

// lookup asks the resolver that resolv.conf names many times for an address of name.
func lookup(name string) (median64 float64, err error) {
	resolver := net.Resolver{PreferGo: true}
	var took []float64
	for range 500 {
		begin := time.Now()
		var addrs []netip.Addr
		if addrs, err = resolver.LookupNetIP(context.Background(), "ip4", name); err != nil || len(addrs) == 0 {
			return 0, fmt.Errorf("look up %s: %w", name, err)
		}
		took = append(took, float64(time.Since(begin))/float64(time.Millisecond))
	}
	return median(took), nil
}
