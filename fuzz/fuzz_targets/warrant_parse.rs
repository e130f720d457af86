//! Whatever is read as a warrant writes back to the bytes it was read from: there is no second spelling.
#![no_main]

use herma_warrant::approval::SignedApproval;
use herma_warrant::revocation::RevocationList;
use herma_warrant::text_form::{from_base64, read_any, to_base64};
use herma_warrant::warrant::{Payload, Warrant};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(payload) = Payload::decode(bytes) {
        assert_eq!(payload.encode(), bytes);
    }
    if let Ok(links) = Warrant::decode_stack(bytes) {
        let single = links.len() == 1 && links[0].encode() == bytes;
        assert!(single || Warrant::encode_stack(&links) == bytes);
        for link in links {
            assert_eq!(link.payload.encode(), link.payload_bytes());
        }
    }
    if let Ok(approvals) = SignedApproval::decode_list(bytes) {
        approvals.iter().for_each(|approval| {
            assert_eq!(SignedApproval::decode(&approval.encode()).as_ref(), Ok(approval))
        });
    }
    if let Ok(list) = RevocationList::decode(bytes) {
        assert_eq!(RevocationList::decode(&list.encode()), Ok(list));
    }
    let _ = read_any(bytes);
    assert_eq!(from_base64(&to_base64(bytes)).as_deref(), Some(bytes));
});
