pub mod model;

pub mod parse;
pub mod render;
pub mod schedule;

pub mod git;

pub mod change;
pub mod deliver;
pub mod observe;
pub mod publish;

pub mod agent;
pub mod api;
pub mod controller;

pub mod cli;
