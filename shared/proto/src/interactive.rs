//! The interactive lane, both ways.

use std::time::Duration;

use shared_session::{Answer, AnswerError, DIFF_OBJECT_LIMIT, ObjectDiff, Question};

use crate::field::{WireError, at_most, name, present};
use crate::state::fields;
use crate::wire;

/// A question with its number and how long the asker waits.
pub fn write_question(id: u64, deadline: Duration, question: &Question) -> wire::InteractiveRequest {
    let Question::Diff { app } = question;
    let question = Some(wire::interactive_request::Question::Diff(wire::DiffRequest { app: app.to_string() }));
    wire::InteractiveRequest { id, deadline_millis: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX), question }
}

/// Reads a question; [`WireError::UnknownKind`] should be answered with [`AnswerError::UnknownQuestion`].
pub fn read_question(request: &wire::InteractiveRequest) -> Result<(Duration, Question), WireError> {
    let wire::interactive_request::Question::Diff(diff) = request.question.as_ref().ok_or(WireError::UnknownKind)?;
    Ok((Duration::from_millis(request.deadline_millis), Question::Diff { app: name("diff.app", &diff.app)? }))
}

/// The answer to question `id`.
pub fn write_answer(id: u64, answer: Result<Answer, AnswerError>) -> wire::InteractiveReply {
    use wire::interactive_reply::Answer as Wire;
    let answer = match answer {
        Ok(Answer::Diff { objects, left_out }) => Wire::Diff(wire::DiffReply {
            objects: objects
                .iter()
                .map(|diff| wire::ObjectDiff {
                    object: Some((&diff.object).into()),
                    fields: diff.fields.iter().map(Into::into).collect(),
                    missing: diff.missing,
                })
                .collect(),
            left_out,
        }),
        Err(AnswerError::Refused(reason)) => Wire::Refused((&reason).into()),
        Err(AnswerError::UnknownQuestion) => Wire::UnknownQuestion(wire::UnknownQuestion {}),
    };
    wire::InteractiveReply { id, answer: Some(answer) }
}

/// Reads an answer.
pub fn read_answer(reply: wire::InteractiveReply) -> Result<Result<Answer, AnswerError>, WireError> {
    use wire::interactive_reply::Answer as Wire;
    Ok(match reply.answer.ok_or(WireError::UnknownKind)? {
        Wire::Diff(diff) => {
            at_most("diff.objects", &diff.objects, DIFF_OBJECT_LIMIT)?;
            let object = |diff: wire::ObjectDiff| {
                let object = present("diff.object", diff.object)?.try_into()?;
                Ok(ObjectDiff { object, fields: fields(diff.fields)?, missing: diff.missing })
            };
            let objects = diff.objects.into_iter().map(object).collect::<Result<_, WireError>>()?;
            Ok(Answer::Diff { objects, left_out: diff.left_out })
        }
        Wire::Refused(reason) => Err(AnswerError::Refused(reason.try_into()?)),
        Wire::UnknownQuestion(_) => Err(AnswerError::UnknownQuestion),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::{FieldChange, GroupKind, ObjectKey, Reason, Severity};

    #[test]
    fn questions_and_answers_read_back() {
        let question = Question::Diff { app: "web".parse().unwrap() };
        let deadline = Duration::from_millis(1_500);
        assert_eq!(read_question(&write_question(7, deadline, &question)), Ok((deadline, question)));
        let field = FieldChange { path: "data.x".into(), wanted: Some("1".into()), found: Some("2".into()), manager: None, since: None };
        let object = ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), "c");
        let diff = |n| vec![ObjectDiff { object: object.clone(), fields: vec![field.clone()], missing: false }; n];
        for answer in [
            Ok(Answer::diff(diff(2))),
            Ok(Answer::diff(diff(DIFF_OBJECT_LIMIT + 3))),
            Err(AnswerError::Refused(Reason::new(Severity::Error, "NoSuchApp", "facts"))),
            Err(AnswerError::UnknownQuestion),
        ] {
            assert_eq!(read_answer(write_answer(7, answer.clone())), Ok(answer));
        }
        assert_eq!(read_question(&wire::InteractiveRequest::default()), Err(WireError::UnknownKind));
    }
}
