//! Coalescing of identical GETs that are in flight (coalescing.md R1 to R8, and the modes), seen from both sides of the proxy: who joins
//! whom, what is shared, and what becomes of those who waited.

mod failure;
mod key;
mod life;
mod requests;
mod responses;
mod scene;
mod times;
mod writes;
