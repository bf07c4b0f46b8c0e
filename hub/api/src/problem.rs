//! Reasons and problems as the API says them.

use serde::{Deserialize, Serialize};
use shared_model::Reason;

use crate::{Named, SeverityWord};

/// Why something is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReasonView {
    /// How serious it is.
    pub severity: SeverityWord,
    /// CamelCase, stable.
    pub code: String,
    /// The facts and the remedy in one sentence.
    pub message: String,
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        Self { severity: reason.severity.into(), code: reason.code.clone(), message: reason.message.clone() }
    }
}

/// Something that somebody has to mend: in a file of the fleet repository, in a render, in a source that cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// The source it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The app it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The cluster it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The file, from the root of the source; absent if the problem is not in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// How serious it is. Only an error blocks.
    pub severity: SeverityWord,
    /// CamelCase, stable.
    pub code: String,
    /// What is wrong, with the facts.
    pub message: String,
    /// How to mend it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What stands still because of it, in words: `app llm-gateway`, `cluster gpu-a`.
    #[serde(default)]
    pub blocks: Vec<String>,
    /// Since when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

impl ProblemView {
    /// Where it is, as people write it: `fleet:apps/web/app.yaml:7:3`.
    pub fn place(&self) -> String {
        let mut place = self.source.clone().unwrap_or_default();
        if let Some(file) = &self.file {
            if !place.is_empty() {
                place.push(':');
            }
            place.push_str(file);
            for number in [self.line, self.column].into_iter().flatten() {
                place.push_str(&format!(":{number}"));
            }
        }
        place
    }
}

impl Named for ProblemView {
    const KIND: &'static str = "Problem";

    fn name(&self) -> String {
        match self.place() {
            place if place.is_empty() => self.code.clone(),
            place => format!("{place}:{}", self.code),
        }
    }

    /// Source, file, line, column, then what it is about.
    fn order(&self) -> String {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let number = |field: Option<u32>| field.unwrap_or_default();
        let place = format!("{}:{}:{:010}:{:010}", text(&self.source), text(&self.file), number(self.line), number(self.column));
        format!("{place}:{}:{}:{}", self.code, text(&self.app), text(&self.cluster))
    }
}
