//! Zero-copy reading: images stay in their frames, and kept items do not.

use responses_client::{
    Item, Response,
    event::{OutputItem, ResponseEvent},
    testing::{Script, Turn},
};
use serde_json::{Value, json};

use crate::support::{BOTH, only, request, server, socket_client, turn};

#[tokio::test]
async fn an_image_is_decoded_from_the_frame_itself() {
    let transcript = include_str!("../fixtures/image_generation.jsonl");
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::jsonl(transcript))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["a lighthouse"])).await;
        let mut partial = Vec::new();
        for event in &outcome.events {
            match event {
                ResponseEvent::ImageGenerationCallPartialImage(image) => {
                    let mut out = Vec::new();
                    partial.push(image.write_to(&mut out).unwrap());
                    assert!(out.starts_with(b"\x89PNG"));
                    let text = image.partial_image_b64.as_ref().unwrap();
                    assert!(is_part_of(text, event.raw()), "{transport}");
                }
                ResponseEvent::OutputItemDone(done) => {
                    if let Ok(OutputItem::ImageGenerationCall(call)) = done.output_item() {
                        assert!(is_part_of(call.result.as_ref().unwrap(), event.raw()));
                    }
                }
                _ => {}
            }
        }
        assert_eq!(partial, [100, 200, 301]);
        let item = outcome.response().output_items().next().unwrap();
        let OutputItem::ImageGenerationCall(call) = OutputItem::read(&item).unwrap() else {
            panic!()
        };
        assert!(is_part_of(call.result.as_ref().unwrap(), item.json().as_str()));
        let mut out = Vec::new();
        assert_eq!(call.write_to(&mut out).unwrap(), 1000);
        assert_eq!((out.len(), &out[..4]), (1000, &b"\x89PNG"[..]));
    }
}

#[test]
fn an_image_is_written_in_bounded_pieces_and_bad_base64_is_an_error() {
    /// Keeps what was written, and the size of the largest piece.
    struct Pieces(Vec<u8>, usize);
    impl std::io::Write for Pieces {
        fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
            self.1 = self.1.max(piece.len());
            self.0.extend_from_slice(piece);
            Ok(piece.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let write = |result: Value| {
        let item = json!({"type": "image_generation_call", "result": result});
        let item = Item::from_json(item.to_string()).unwrap();
        let Ok(OutputItem::ImageGenerationCall(call)) = OutputItem::read(&item) else { panic!() };
        let mut out = Pieces(Vec::new(), 0);
        call.write_to(&mut out).map(|size| (size, out))
    };
    // 0, 0, 0 is `AAAA`; whole pieces of 32 KiB, and some more.
    for groups in [1, 8 * 1024, 8 * 1024 + 1, 1_000_000] {
        let (size, out) = write(json!("AAAA".repeat(groups) + "AQ==")).unwrap();
        assert_eq!(size as usize, groups * 3 + 1);
        assert!(out.0.len() == groups * 3 + 1 && out.0.ends_with(&[0, 1]));
        assert!(out.1 <= 24 * 1024, "{}", out.1);
    }
    let padded_within = "AAAA".repeat(8 * 1024 - 1) + "AQ==" + "AAAA";
    for bad in ["A", "AA=A", "AA A", "%%%%", "AAAAA", &padded_within] {
        let error = write(json!(bad)).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{bad}");
        assert!(!error.to_string().contains('%'), "no payload");
    }
    for none in [Value::Null, json!(""), json!(7)] {
        assert_eq!(write(none).err().unwrap().kind(), std::io::ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn what_an_item_was_finished_with_is_held_once() {
    let gap = json!({"type": "message", "id": "msg_gap", "content": []});
    let item = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "e".repeat(4096)});
    let events = [
        json!({"type": "response.created", "response": {"id": "r"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response":
            {"id": "r", "status": "completed", "output": [item, gap]}}),
    ];
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::events(events.clone()))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        let place = |response: &Response| {
            response.output_items().next().map(|item| item.json().as_str().as_ptr())
        };
        let (mut finished, mut frames) = (None, Vec::new());
        while let Some(event) = stream.try_next().await.unwrap() {
            if matches!(event, ResponseEvent::OutputItemDone(_)) {
                finished = place(&stream.response());
            }
            frames.push(event);
        }
        let response = stream.final_response().await.unwrap();
        assert!(finished.is_some() && place(&response) == finished, "{transport}");
        let items: Vec<Item> = response.output_items().collect();
        assert_eq!(items.len(), 2);
        for item in &items {
            let pinned = frames.iter().any(|frame| is_part_of(item.json().as_str(), frame.raw()));
            assert!(!pinned, "{transport}: a history holds no frames");
        }
    }
}

/// Whether `part` lies in the memory of `whole`.
fn is_part_of(part: &str, whole: &str) -> bool {
    let (part, whole) = (part.as_bytes().as_ptr_range(), whole.as_bytes().as_ptr_range());
    whole.contains(&part.start) && part.end <= whole.end
}
