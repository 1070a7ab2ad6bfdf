// Go's net/http as a witness: it answers each request with how it read it (the field X-Read; tests/tests/differential/account.rs says
// its form). First line of stdout: its address.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
)

func pairs(read *strings.Builder, mark string, fields http.Header) {
	for name, values := range fields {
		for _, value := range values {
			fmt.Fprintf(read, " %s:%x:%x", mark, name, value)
		}
	}
}

func main() {
	answer := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		read := &strings.Builder{}
		fmt.Fprintf(read, "m:%x t:%x b:%x f:%x:%x", r.Method, r.RequestURI, body, "host", r.Host)
		pairs(read, "f", r.Header)
		pairs(read, "r", r.Trailer)
		w.Header().Set("Content-Length", "0")
		w.Header().Set("X-Read", read.String())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(answer),
		// Otherwise OPTIONS * is answered without the handler.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0),
	}
	fmt.Println(listener.Addr())
	panic(server.Serve(listener))
}
