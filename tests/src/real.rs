//! Real neighbours: nginx, Node's http and Go's net/http as apps, curl and ab as clients. A program that is missing fails the case.
