// A small app on Go's net/http for the tests. First line of stdout: its address. KEEP_ALIVE_MS: how long it keeps idle connections.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") })
	// The length and digest of what came: proves that a body passed whole.
	http.HandleFunc("/digest", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		bytes, err := io.Copy(hash, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d %x", bytes, hash.Sum(nil))
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for part := 0; part < 10; part++ {
			fmt.Fprintf(w, "part %d\n", part)
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	http.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum")+"42")
	})
	http.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "hinted")
	})
	http.HandleFunc("/break", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	idle, _ := strconv.Atoi(os.Getenv("KEEP_ALIVE_MS"))
	server := &http.Server{IdleTimeout: time.Duration(idle) * time.Millisecond}
	fmt.Println(listener.Addr())
	panic(server.Serve(listener))
}
