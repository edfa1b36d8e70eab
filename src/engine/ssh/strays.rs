//! Jobs that hosts still have and nobody wants: what a host that was away did meanwhile, or what could not be removed
//! when it was time. They are ended, what they made is pinned, and they are removed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::super::verify::blocking;
use super::super::{Context, Outbox};
use super::attend::{gather, open};
use super::fetch;
use super::frame::Frame;
use super::link::{Heard, Link, Trouble, odd, word};
use super::ticket::{Fate, Given, Ticket};
use super::words::{Ask, Progress, Tell};
use crate::run::{Runner, Ssh, SshHost, Stop, TaskName, TaskSpec};

/// How often it is looked whether a host is back.
const PROBE: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(30);

/// What is still on hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Strays {
    /// Where, and why it could not be removed.
    pub left: Vec<String>,
    /// Where there is something that could not be brought here.
    pub kept: Vec<String>,
}

/// Looks whether a host is back, and then after what it has of this run, as long as the run goes on.
pub(super) fn look_after(context: &Arc<Context>, runner: &Runner, host: &SshHost, outbox: &Outbox) {
    let (context, runner, host) = (Arc::downgrade(context), runner.clone(), host.clone());
    let outbox = outbox.clone();
    tokio::spawn(async move {
        let mut pause = PROBE.min(Duration::from_millis(runner.lost_after_ms));
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(MOST);
            let (Some(context), Some(ssh)) = (Weak::upgrade(&context), runner.ssh()) else { return };
            if Link::open(&runner, ssh, &host, &Heard::now()).await.is_err() {
                continue;
            }
            context.runners.hosts(&runner, ssh).set_away(&host.name, false);
            for spec in &context.spec.tasks {
                for (ticket, given) in all_of(&context, &spec.name) {
                    if given.host != host.name || !given.fate.is_left() {
                        continue;
                    }
                    let ended = end_one(&context, (&runner, ssh), &spec.name, (&ticket, &given)).await;
                    if let Ok(Some(text)) = ended {
                        outbox.note(format!("{}: {text}", spec.name));
                    }
                }
            }
            return;
        }
    });
}

fn all_of(context: &Context, task: &TaskName) -> Vec<(Ticket, Given)> {
    let tickets = Ticket::all(&context.dir.task(task)).into_iter();
    let jobs = tickets.flat_map(|ticket| {
        let jobs = ticket.jobs.clone();
        jobs.into_iter().map(move |given| (ticket.clone(), given))
    });
    jobs.filter(|(_, given)| given.fate != Fate::Gone).collect()
}

/// Ends and removes what hosts still have of a task that is not at work; says what stays. With `force`, what could not
/// be brought here is removed, too.
pub fn end_strays(context: &Arc<Context>, task: &TaskSpec, force: bool) -> Strays {
    let mut strays = Strays::default();
    let jobs = all_of(context, &task.name);
    let Some((runner, ssh)) = context.spec.runner_of(task).and_then(|runner| Some((runner, runner.ssh()?)))
    else {
        return strays;
    };
    if jobs.is_empty() {
        return strays;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return strays;
    };
    for (ticket, given) in jobs {
        let at = format!("{} (job {})", given.host, given.token);
        if given.fate == Fate::Kept && !force {
            strays.kept.push(at);
            continue;
        }
        let ended = end_one(context, (runner, ssh), &task.name, (&ticket, &given));
        if let Err(trouble) = runtime.block_on(ended) {
            strays.left.push(format!("{at}: {}", trouble.words()));
        }
    }
    strays
}

/// Ends and removes one; what it made is pinned. Says what is worth telling of that.
pub(super) async fn end_one(
    context: &Arc<Context>,
    (runner, ssh): (&Runner, &Ssh),
    task: &TaskName,
    (ticket, given): (&Ticket, &Given),
) -> Result<Option<String>, Trouble> {
    let Some(host) = ssh.hosts.iter().find(|host| host.name == given.host) else {
        return Err(Trouble::Bad("it is no host of the run".to_owned()));
    };
    let mut link = Link::open(runner, ssh, host, &Heard::now()).await?.0;
    let (_, progress) = open(context, task, &mut link, &given.token).await?;
    let mut told = None;
    if progress == Progress::Started && !matches!(given.fate, Fate::Fetched | Fate::Kept) {
        link.say(&Ask::Stop { stop: Stop::Kill }).await?;
        end_of(&mut link).await?;
        told = Some(pin(context, task, &mut link, given).await?);
    }
    link.have(&Ask::Remove, None).await?;
    ticket.settle(&given.token, Fate::Gone).map_err(|e| Trouble::Bad(format!("{e:#}")))?;
    Ok(told)
}

/// Waits for its end; what it says is nobody's business any more.
async fn end_of(link: &mut Link) -> Result<(), Trouble> {
    link.say(&Ask::Follow { from: 0 }).await?;
    loop {
        match link.frame().await? {
            frame @ Frame::Word(_) => match word(&frame)? {
                Tell::Ended { .. } => return Ok(()),
                Tell::Beat(_) => {}
                _ => return Err(odd()),
            },
            Frame::Data(_) | Frame::Here => {}
            Frame::End => return Err(odd()),
        }
    }
}

/// Pins what it made, out of the way of what counts.
async fn pin(
    context: &Arc<Context>,
    task: &TaskName,
    link: &mut Link,
    given: &Given,
) -> Result<String, Trouble> {
    let (left, pack) = gather(context, task, link).await?;
    let token = given.token.trim_start_matches("gp-");
    let name = context.pin(task, &format!("{}-{token}", super::super::collect::ABANDONED));
    let (shared, pins) = (context.clone(), name.clone());
    let any = blocking(move || fetch::pin_apart(&shared, &pins, (&left, pack)));
    let any = any.await.map_err(|e| Trouble::Bad(format!("{e:#}")))?;
    let host = &given.host;
    Ok(match any {
        true => format!("{host} is back: what was given up there has been ended, and is kept as {name}"),
        false => format!("{host} is back: what was given up there has been ended"),
    })
}
